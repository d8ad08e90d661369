"""Keys: no two things share a place, and no text of a caller leads out of its own."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from shared.store import keys
from shared.store.keys import DirectoryKey, Key
from shared.store.table import Put, TenantStore

HOSTILE = ["x", "x#y", "#", "AGENT", "AGENT#x", "../x", "TENANT#tenant_b#AGENT", "ü", "x" * 300]


def makers() -> list[Callable[..., Any]]:
    return [made for _, made in inspect.getmembers(keys, inspect.isfunction) if made.__module__ == keys.__name__]


def test_no_two_kinds_of_things_share_a_place() -> None:
    places = [
        keys.agent("1"),
        keys.tool("1"),
        keys.api_key("1"),
        keys.run("1"),
        keys.name(keys.AGENTS, "1"),
        keys.name(keys.TOOLS, "1"),
        keys.deleted(keys.AGENTS, "1"),
        keys.deleted(keys.TOOLS, "1"),
        keys.use_of_tool("1", "1"),
        keys.log_batch("1", 1),
        keys.run_of_agent("1", "1"),
        keys.waiting_run("1"),
        keys.session("1"),
        keys.session_entry("1"),
        keys.run_of_session("1", "1"),
        keys.turn("1", 1),
        keys.idempotency("1", "1"),
        keys.audit("1"),
        keys.usage("1"),
        keys.TENANT,
        keys.counter("1", "1"),
        Key(keys.agent_stats("1"), "1"),
        Key(keys.tool_stats("1"), "1"),
    ]
    assert len({place.partition for place in places}) == len(places)


def test_only_the_directory_lies_outside_all_tenants() -> None:
    """Every other function gives a key below a tenant, or the name of a partition there."""
    given = {"first": 1, "number": 1, "version": 1}
    outside = []
    for make in makers():
        made = make(**{name: given.get(name, "x") for name in inspect.signature(make).parameters})
        if not isinstance(made, Key | str):
            outside.append(make.__name__)
    directory = ["denied_token", "directory_entry", "invite", "login", "login_attempts", "refresh_family"]
    assert outside == sorted([*directory, "tenant_entry"])


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_callers_stay_inside_their_own_partition(table: str, text: str) -> None:
    """Whatever a caller puts into a key, it finds nothing of another tenant and nothing of another kind."""
    store, other = TenantStore("tenant_a"), TenantStore("tenant_b")
    for place in (keys.agent("x"), keys.name(keys.AGENTS, "x"), keys.use_of_tool("x", "y")):
        other.write(Put(place, '"theirs"'))
    store.write(Put(keys.agent("mine"), '"mine"'))
    for place in (
        keys.run(text),
        keys.turn(text, 1),
        keys.session(text),
        keys.log_batch(text, 1),
        keys.name(keys.TOOLS, text),
    ):
        assert store.get(place) is None
    for partition in (
        keys.run_log(text),
        keys.turns(text),
        keys.runs_of_session(text),
        keys.users_of_tool(text),
        keys.tool_stats(text),
    ):
        assert store.query(partition, limit=None).items == []


def test_batches_sort_by_number() -> None:
    numbers = [1, 2, 9, 10, 99, 100, 101, 1_000, 99_999]
    sorts = [keys.log_batch("r", number).sort for number in numbers]
    assert sorted(sorts) == sorts


def test_keys_are_plain_pairs() -> None:
    assert keys.agent("1") == Key("AGENT", "1")
    assert not isinstance(keys.agent("1"), DirectoryKey)
