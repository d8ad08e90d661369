"""What one run asks of the table, request by request and partition by partition: the model that scale.py multiplies.

The partitions are those of `shared.store.keys`. tests/unit/test_scale.py counts a real run against this, and the sums
are held to docs/access-patterns.md, which is counted itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from shared.domain import limits
from shared.store import keys
from shared.store.keys import DirectoryKey, Key

Place = Literal["one item", "newest end", "spread", "of the run"]
"""Where in its partition requests fall. What DynamoDB can do about a hot partition depends on it: it splits a
partition between items ("spread"), but neither an item nor the end at which all new items arrive."""


@dataclass(frozen=True, slots=True)
class Touch:
    """What one request asks of one item.

    Attributes:
        reads, writes: units.
    """

    partition: str
    place: Place
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request to DynamoDB; of several touches with writes it is a transaction, which costs them twice.

    Attributes:
        joined: no request of its own; these are writes that join a transaction which is there anyway.
    """

    who: str
    touches: tuple[Touch, ...]
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """Whose run it is and what it is about: ids, and the day and moment of its end."""

    tenant: str = "tenant"
    agent: str = "<agent>"
    tool: str = "<tool>"
    session: str = "<session>"
    uid: str = "<uid>"
    run: str = "<run>"
    call: str = "<call>"
    key: str = "<key>"
    user: str = "<user>"
    digest: str = "<digest>"
    record: str = "<record>"
    day: str = "<day>"
    moment: str = "<moment>"


@dataclass(frozen=True, slots=True)
class Sums:
    """Requests and units of some requests."""

    requests: int
    reads: int
    writes: int


def sums(requests: Iterable[Request]) -> Sums:
    found = list(requests)
    touched = [touch for request in found for touch in request.touches]
    number = sum(not request.joined for request in found)
    return Sums(number, sum(touch.reads for touch in touched), sum(touch.writes for touch in touched))


def _read(key: Key | DirectoryKey, place: Place) -> Touch:
    return Touch(key.partition, place, reads=1)


def _write(key: Key, place: Place, units: int) -> Touch:
    return Touch(key.partition, place, writes=units)


def _log(names: Names) -> Touch:
    """The query for a run's log."""
    return Touch(keys.run_log(names.run), "of the run", reads=1)


def _event(names: Names, units: int) -> Touch:
    return _write(keys.log_batch(names.run, 1), "of the run", units)


def _in_index(status: str) -> Touch:
    """The entry of a run that comes or goes in a list of the index."""
    return Touch(keys.group(keys.RUNS, "llm", status), "newest end", writes=1)


def _begin(names: Names) -> tuple[Request, ...]:
    """The agent, its tools, and the run, in parts that are written each by itself; its first event weighs more than
    1 KB."""
    return (
        Request("runs/start", (_read(keys.agent(names.agent), "spread"),)),
        Request("runs/start", (_read(keys.tool(names.tool), "spread"),)),
        Request(
            "runs/start",
            (
                _write(keys.run(names.run), "newest end", 1),
                _in_index("running"),
                _event(names, 2),
                _write(keys.run_of_agent(names.agent, names.run), "newest end", 1),
            ),
        ),
    )


def _end(names: Names) -> tuple[Request, ...]:
    """The last model call: the log, the answer with the end."""
    return (
        Request("call_model", (_log(names),)),
        Request(
            "call_model",
            (
                _event(names, 2),
                _write(keys.run(names.run), "newest end", 2),
                _in_index("running"),
                _in_index("succeeded"),
            ),
        ),
    )


def _answer(names: Names) -> Request:
    return Request("runs/start", (_read(keys.run(names.run), "newest end"),))


def one_tool_run(names: Names) -> tuple[Request, ...]:
    """`POST /runs`: a model call, a tool call, a model call."""
    return (
        *_begin(names),
        Request("call_model", (_log(names),)),
        Request("call_model", (_event(names, 1),)),
        Request("call_tool", (_log(names),)),
        Request("call_tool", (_event(names, 1),)),
        Request("call_tool", (_event(names, 1),)),
        *_end(names),
        _answer(names),
    )


def plain_run(names: Names) -> tuple[Request, ...]:
    """`POST /runs` without a tool call: one model call."""
    return (*_begin(names), *_end(names), _answer(names))


def streamed_run(names: Names, pieces: int, looks: int) -> tuple[Request, ...]:
    """`POST /runs/stream` without a tool call, and its one watcher.

    Args:
        pieces: writes of the model's text while it comes.
        looks: reads of the watcher.
    """
    written = [Request("call_model", (_event(names, 1),)) for _ in range(pieces)]
    looked = [Request("run_stream/start", (_log(names),)) for _ in range(looks)]
    return (*_begin(names), *_end(names), *written, *looked)


def in_transaction(names: Names) -> tuple[Request, ...]:
    """What it adds that a run begins in a transaction, as one does with a key or in a session: its items once more."""
    begun = _begin(names)[-1]
    return (replace(begun, touches=tuple(t for t in begun.touches if t != _in_index("running")), joined=True),)


def of_session(names: Names) -> tuple[Request, ...]:
    """What going on with a session adds; its id has the form of a run's, so such a run is looked for, too."""
    head = keys.session(names.session)
    return (
        Request("runs/start", (_read(head, "spread"), _read(keys.run(names.session), "newest end"))),
        Request(
            "runs/start",
            (
                _write(head, "spread", 2),
                _write(keys.run_of_session(names.session, names.run), "newest end", 2),
            ),
            joined=True,
        ),
        Request("call_model", (Touch(keys.turns(names.uid), "newest end", reads=1),)),
        Request("call_model", (_read(head, "spread"),)),
        Request(
            "call_model", (_write(head, "spread", 2), _write(keys.turn(names.uid, 1), "newest end", 2)), joined=True
        ),
    )


COUNTERS = (limits.REQUESTS, limits.RUNS)


def counted(names: Names) -> tuple[Request, ...]:
    """What limits add: the counters of requests and of runs."""
    return tuple(Request("edge", (_write(keys.counter(name, names.day), "one item", 1),)) for name in COUNTERS)


def with_key(names: Names) -> tuple[Request, ...]:
    """What an `Idempotency-Key` adds, before and after."""
    kept = _write(keys.idempotency("POST /runs", names.digest), "of the run", 1)
    return (Request("edge", (kept,)), Request("edge", (kept,)))


def followed(names: Names, tool_calls: int) -> tuple[Request, ...]:
    """What the reader of the table's stream writes: the audit record, the figures of the run and of its calls."""
    calls = [
        Request(
            "audit/record", (_write(keys.call_stat(names.tool, names.moment, names.run, names.call), "newest end", 1),)
        )
        for _ in range(tool_calls)
    ]
    return (
        Request("audit/record", (_write(keys.audit(names.record), "newest end", 1),)),
        Request(
            "audit/record",
            (
                _write(keys.run_stat(names.agent, names.moment, names.run), "newest end", 2),
                _write(keys.usage(names.day), "one item", 2),
            ),
        ),
        *calls,
    )


def looked_up(names: Names) -> tuple[Request, ...]:
    """What an environment of the authorizer asks once in `AUTHORIZER_CACHE_SECONDS` for a key: whose it is, its maker,
    the tenant; and the note of its use."""
    return (
        Request("authorizer", (_read(keys.directory_entry(names.key), "one item"),)),
        Request("authorizer", (_read(keys.user(names.user), "spread"),)),
        Request("authorizer", (_read(keys.TENANT, "one item"),)),
        Request("authorizer", (_write(keys.api_key(names.key), "spread", 1),)),
    )
