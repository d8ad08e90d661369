"""docs/costs.md is what the committed counts, sizes and prices come to."""

from dataclasses import replace

import pytest

from benchmarks import costs, costs_page, figures, prices


def test_the_page_is_generated_from_what_is_committed() -> None:
    assert costs_page.page() == costs.DOCUMENT.read_text(), "run 'python -m benchmarks.costs'"


def test_the_access_patterns_show_the_figures() -> None:
    written = figures.DOCUMENT.read_text()
    assert figures.page(figures.operations()) == written, "run 'python -m benchmarks.figures'"


def test_what_grows_is_told_and_what_shrinks_is_not() -> None:
    kept = figures.operations()
    name, before = next(iter(kept.items()))
    dearer = {name: replace(before, writes=before.writes + 1, events={"start": 1})}
    assert list(figures.grown(dearer, kept)) == [
        f"{name}: {before.writes + 1} write units, not {before.writes}",
        f"{name}: 1 events, not 0",
    ]
    assert not list(figures.grown(kept, dearer))
    assert not list(figures.grown(kept, {}))


def test_every_counted_operation_has_its_functions_and_a_price() -> None:
    for name, counted in figures.operations().items():
        assert counted.calls.keys() <= costs.memories().keys(), name
        assert counted.requests.keys() <= counted.calls.keys(), name
        cost = costs.dollars(name)
        assert cost.total > cost.share > prices.GATEWAY_REQUEST.of(costs.MILLION), name


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times and sizes with which one can reckon, in place of those of today."""
    cpu = {"AuthorizerAuthorize": 1.0, "AgentsGet": 4.0, "RunsStart": 4.0, "AgentRunCallModel": 4.0}
    sizes = {"AgentRunCallModel": 1024, "AgentRunCallTool": 1024}
    monkeypatch.setattr(costs, "_measured", lambda: cpu | {"AgentRunCallTool": 4.0, "AuditRecord": 10.0})
    monkeypatch.setattr(costs, "memories", lambda: dict.fromkeys([*cpu, "AuditRecord"], 512) | sizes)


@pytest.mark.usefixtures("times")
def test_a_read_is_worked_out_by_hand() -> None:
    """1 request and read unit; the authorizer 4 ms, the function 14 ms and 5 ms of waiting, both of 512 MB."""
    cost = costs.dollars("GET /agents/{id}")
    assert cost.gateway == pytest.approx(3.5)
    assert cost.lambda_requests == pytest.approx(0.4)
    assert cost.lambda_seconds == pytest.approx(13.3334 * 0.5 * (0.004 + 0.019))
    assert cost.dynamodb == pytest.approx(0.125)
    assert cost.step_functions == cost.afterwards == 0


@pytest.mark.usefixtures("times")
def test_a_one_tool_run_is_worked_out_by_hand() -> None:
    cost = costs.dollars(costs.TARGET)
    worker = 0.007 + 0.010
    models, tool = 2 * (1 + worker), 0.1 + 0.007 + 0.015
    machine = models + tool + 6 * 0.015
    start = 0.014 + machine + 4 * 0.005
    seconds = 13.3334 * (models + tool + 0.5 * (0.004 + start))
    assert cost.lambda_requests == pytest.approx(5 * 0.2)
    assert cost.lambda_seconds == pytest.approx(seconds, rel=0.001)
    assert cost.step_functions == pytest.approx(1 + 0.06 / 3600 * 1_000_000 * 2.3 / 16)
    assert cost.dynamodb == pytest.approx(6 * 0.125 + 14 * 0.625)


def test_in_the_background_nobody_waits_and_each_transition_is_paid() -> None:
    cost, waited = costs.dollars(costs.BACKGROUND), costs.billed(costs.TARGET)["RunsStart"]
    assert cost.step_functions == pytest.approx(6 * 25)
    assert costs.billed(costs.BACKGROUND)["RunsStart"] < waited / 10


@pytest.mark.usefixtures("times")
def test_less_memory_is_cheaper_where_a_function_only_waits() -> None:
    half = {"RunsStart": 256}
    assert costs.dollars(costs.TARGET, half).share < costs.dollars(costs.TARGET).share
