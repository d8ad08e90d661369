"""benchmarks/figures.json says what each operation asks of AWS; here it is counted, and what grows is refused."""

import json

import pytest

from benchmarks import figures
from benchmarks.figures import Figures
from local.runtime import Runtime
from tests.house.repository import ROOT
from tests.integration.counting import Tally
from tests.integration.neighbours import Neighbours
from tests.integration.operations import count_all

# What is found by another thing's key: by its name, through a list of pointers, or once it is known to be there.
TWO_READS = {
    "GET /agents/{name}",
    "GET /agents/{id}/logs",
    "GET /agents/{id}/stats (no runs)",
    "GET /logs/executions/{id}/logs",
    "GET /logs/{id} (a page)",
    "GET /runs (a page, by agent)",
    "GET /runs/{id}/stream (of an ended run)",
    "GET /sessions (a page)",
    "GET /sessions/{id}/messages",
    "GET /tools/{id}/stats (no calls)",
    "GET /uploads/agents/{id}/artifacts/{filename}",
}
NO_READ = {
    "GET /auth/test-token (where it is off)",
    "GET /docs",
    "GET /health",
    "GET /openapi.json",
    "GET /redoc",
    "GET /tools/types",
}
WITH_A_NAME = ("POST /tools", "POST /agents")
ONE_TOOL = ("POST /runs (one tool)", "POST /runs (one tool, of a published agent)")
STATES_OF_ONE_TOOL = ["CallModel", "WhatNext", "CallTool", "CallModel", "WhatNext", "Done"]


@pytest.fixture(scope="module")
def measured(platform: Runtime, neighbours: Neighbours) -> dict[str, Tally]:
    return count_all(platform, neighbours)


@pytest.fixture(scope="module")
def found(measured: dict[str, Tally]) -> dict[str, Figures]:
    return {name: figures.of(tally) for name, tally in measured.items()}


def test_nothing_costs_more_than_it_did(found: dict[str, Figures]) -> None:
    assert not list(figures.grown(found, figures.operations()))


def test_the_table_is_what_was_counted(found: dict[str, Figures]) -> None:
    """What became cheaper is written down, or it could grow again unseen: python -m benchmarks.figures."""
    assert found == figures.operations()


def test_every_operation_of_the_api_is_counted(found: dict[str, Figures]) -> None:
    routes = {
        figures.route(f"{method.upper()} {path}")
        for path, methods in json.loads((ROOT / "openapi.json").read_text())["paths"].items()
        for method in methods
    }
    assert routes - {figures.route(name) for name in found} == set()


def test_a_read_is_one_request(measured: dict[str, Tally]) -> None:
    for name, tally in measured.items():
        looks_up = any(word in name for word in ("/versions", "?", "/usage"))
        if name.startswith("GET ") and not looks_up:
            reads = 0 if name in NO_READ else 2 if name in TWO_READS else 1
            assert tally.total - tally.requests["UpdateItem"] == reads, name
            if name.endswith("/{id}") and not name.startswith("GET /logs/"):
                assert tally.requests.keys() <= {"GetItem", "BatchGetItem"}, name
                assert tally.read_units <= 1, name
            if name.endswith("(a page)") and reads == 1:
                assert tally.requests.keys() == {"Query"}, name


def test_a_create_is_one_transaction(measured: dict[str, Tally]) -> None:
    for name in (*WITH_A_NAME, "POST /api-keys"):
        assert measured[name].requests == {"TransactWriteItems": 1}, name


def test_a_one_tool_run_keeps_to_its_targets(measured: dict[str, Tally]) -> None:
    for name in ONE_TOOL:
        tally = measured[name]
        assert tally.total <= 14, name
        assert tally.write_units <= 16, name
        assert tally.entered == STATES_OF_ONE_TOOL, name
        assert tally.calls == {
            "AuthorizerAuthorize": 1,
            "RunsStart": 1,
            "AgentRunCallModel": 2,
            "AgentRunCallTool": 1,
        }, name


def test_a_cancelled_run_ends_once(measured: dict[str, Tally]) -> None:
    (tally,) = (tally for name, tally in measured.items() if name.startswith("POST /runs (cancelled"))
    assert tally.events == {"start": 1, "cancelled": 1}
