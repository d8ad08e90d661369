"""What models cost: exact, whatever the amounts."""

from collections.abc import Callable

import httpx2
import pytest

from shared.domain.prices import Price, dollars, picodollars, price_of
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, as_json, completion

Setting = Callable[[str, str | None], None]


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("openai:gpt-4o-mini", Price(prompt=150_000, answer=600_000)),
        ("gpt-4o-mini", Price(prompt=150_000, answer=600_000)),
        ("openai:gpt-4o-mini-2024-07-18", Price(prompt=150_000, answer=600_000)),
        ("openai:gpt-4o-mini-tuned", None),
        ("custom:gpt-4o-mini", None),
        ("custom:llama", None),
    ],
)
def test_built_in_prices_are_openais(table: str, model: str, price: Price | None) -> None:
    assert price_of(model) == price


def test_the_operators_prices_come_first(table: str, setting: Setting) -> None:
    setting(
        "MODEL_PRICES",
        '{"openai:gpt-4o-mini": {"input": "1", "output": 2.5}, "custom:x": {"input": 0, "output": "0.000001"}}',
    )
    assert price_of("openai:gpt-4o-mini-2024-07-18") == Price(prompt=1_000_000, answer=2_500_000)
    assert price_of("custom:x") == Price(prompt=0, answer=1)
    assert price_of("openai:gpt-4o") is not None


def test_the_smallest_price_is_not_nothing(table: str, setting: Setting) -> None:
    setting("MODEL_PRICES", '{"custom:x": {"input": "0.000000001", "output": "0"}}')
    assert price_of("custom:x") == Price(prompt=1, answer=0)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"x": 1}',
        '{"x": {"input": "1"}}',
        '{"x": {"input": "-1", "output": "1"}}',
        '{"x": {"input": "1e3", "output": "1"}}',
    ],
)
def test_prices_that_cannot_be_read_are_told(table: str, setting: Setting, text: str) -> None:
    setting("MODEL_PRICES", text)
    with pytest.raises(ValueError, match="MODEL_PRICES"):
        price_of("openai:gpt-4o")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (12_450_000, "0.00001245"),
        (10**12, "1"),
        (10**13, "10"),
        (1_500_000_000_000, "1.5"),
    ],
)
def test_money_is_shown_exactly(amount: int, text: str) -> None:
    assert dollars(amount) == text
    assert picodollars(text) == amount


def test_a_run_says_what_it_cost(api: Api, model: ScriptedModel, machine: Machine) -> None:
    runs.agent(api)
    model.says("Hello", usage={"prompt_tokens": 27, "completion_tokens": 14, "total_tokens": 41})
    run = runs.start(api)
    assert run["cost_usd"] == "0.00001245"
    assert api.get(f"/runs/{run['id']}").json["cost_usd"] == "0.00001245"


def test_a_run_of_a_model_without_a_price_says_nothing(
    api: Api, model: ScriptedModel, machine: Machine, setting: Setting
) -> None:
    setting("CUSTOM_BASE_URL", "https://models.example/v1")
    setting("CUSTOM_API_KEY", "k")
    runs.agent(api, model="custom:llama")
    model.says("Hello")
    assert runs.start(api)["cost_usd"] is None


def test_a_run_keeps_the_price_that_it_began_with(
    api: Api, model: ScriptedModel, machine: Machine, setting: Setting
) -> None:
    runs.agent(api)

    def raised(request: object) -> httpx2.Response:
        setting("MODEL_PRICES", '{"openai:gpt-4o-mini": {"input": "9", "output": "9"}}')
        return as_json(completion("Hello"))

    model.does(raised)
    assert runs.start(api)["cost_usd"] == "0.0000045"
