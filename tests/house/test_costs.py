"""docs/costs.md is what the committed counts, sizes and prices come to."""

import pytest

from benchmarks import costs, prices


def test_the_page_is_generated_from_what_is_committed() -> None:
    assert costs.page() == costs.DOCUMENT.read_text(), "run 'python -m benchmarks.costs'"


def test_every_counted_operation_has_a_function_and_a_price() -> None:
    assert len(costs.counts()) >= 60
    for name in costs.counts():
        function, _ = costs.function_of(name)
        assert function in costs.memories(), name
        cost = costs.dollars(name)
        assert cost.total > cost.share > prices.GATEWAY_REQUEST.of(costs.MILLION), name


def test_a_read_is_worked_out_by_hand() -> None:
    """1 request and read unit; the authorizer 4 ms, the function 14 ms and 5 ms of waiting, both of 512 MB."""
    cost = costs.dollars("GET /agents/{id}")
    assert cost.gateway == pytest.approx(3.5)
    assert cost.lambda_requests == pytest.approx(0.4)
    assert cost.lambda_seconds == pytest.approx(13.3334 * 0.5 * (0.004 + 0.019))
    assert cost.dynamodb == pytest.approx(0.125)
    assert cost.express == cost.afterwards == 0


def test_a_one_tool_run_is_worked_out_by_hand() -> None:
    cost = costs.dollars(costs.TARGET)
    worker = 0.007 + 0.010
    models, tool = 2 * (1 + worker), 0.1 + 0.007 + 0.015
    machine = models + tool + 6 * 0.015
    start = 0.014 + machine + 4 * 0.005
    seconds = 13.3334 * (models + tool + 0.5 * (0.004 + start))
    assert cost.lambda_requests == pytest.approx(5 * 0.2)
    assert cost.lambda_seconds == pytest.approx(seconds, rel=0.001)
    assert cost.express == pytest.approx(1 + 0.06 / 3600 * 1_000_000 * 2.3 / 16)
    assert cost.dynamodb == pytest.approx(6 * 0.125 + 15 * 0.625)


def test_less_memory_is_cheaper_where_a_function_only_waits() -> None:
    half = {"RunsStart": 256}
    assert costs.dollars(costs.TARGET, half).share < costs.dollars(costs.TARGET).share
