"""The platform's own tools, called as a run calls them."""

import json
import time
from datetime import datetime
from typing import Any

import pytest

from shared.domain.internal_tools import calculate
from shared.errors import ToolError
from tests.unit.support import runs
from tests.unit.support.busy import in_work_of
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", 7),
        (" (2 + 3) * 4 ", 20),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("7/2", 3.5),
        ("+-+1", -1),
        ("2**10", 1024),
        ("2**-1", 0.5),
        ("2**0.5", 2**0.5),
        ("2**3**2", 512),
        ("1_000 + 0x10 + .5", 1016.5),
        ("2**900", 2**900),
    ],
)
def test_calculator(expression: str, value: float) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "x",
        "1+",
        "1 2",
        "1; 2",
        "1, 2",
        "[1]",
        "'a'*9",
        "b'a'",
        "True",
        "None",
        "1j",
        "...",
        "1 < 2",
        "1 if 1 else 2",
        "1 and 2",
        "not 1",
        "~1",
        "1 << 9",
        "1 | 2",
        "2 @ 3",
        "lambda: 1",
        "(x := 1)",
        "f'{1}'",
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "(1).real",
        "abs(1)",
        "1/0",
        "1//0",
        "1%0",
        "0**-1",
        "(-8)**0.5",
        "((-8)**0.5)**2",
        "2**((-8)**0.5)",
        "((-8)**0.5) % 2",
        "10.0**400",
        "1e308*10",
        "1e999",
        "1e999-1e999",
        "9**9**9",
        "9**999999999",
        "(9**900)**(9**900)",
        "*".join(["9**750"] * 10),
        "-".join(["1"] * 251),
        "(" * 250 + "1" + ")" * 250,
        "-" * 499 + "x",
        "1\x00",
        "1\ud800",
        "9" * 501,
        "1+" * 100_000 + "1",
    ],
)
def test_calculator_refuses(expression: str) -> None:
    """Neither another exception than this, nor a result that is no JSON, nor a second of work."""
    with in_work_of(1), pytest.raises(ToolError) as refused:
        calculate(expression)
    assert refused.value.code == "invalid_arguments"


def test_result_is_json_whatever_its_size(api: Api, model: ScriptedModel, machine: object) -> None:
    runs.agent(api, runs.internal(api, "calculator"))
    asked = ["*".join(["9**750"] * count) for count in (1, 5, 6, 7, 60)] + ["1/3", "1e300*1e-300", "0.1+0.2"]
    model.asks(*(call("calculator", {"expression": each}, id=f"c{n}") for n, each in enumerate(asked))).says("ok")
    run = runs.start(api)
    assert run["status"] == "succeeded"
    done = runs.named(runs.events(api, run["id"]), "tool.completed")
    assert len(done) == 4
    for data in done:
        assert list(json.loads(data["output"])) == ["result"]


def ended(api: Api, model: ScriptedModel, name: str, *arguments: Any) -> list[dict[str, Any]]:
    """The events that ended calls of an internal tool with these arguments."""
    runs.agent(api, runs.internal(api, name))
    model.asks(*(call(name, each, id=f"c{n}") for n, each in enumerate(arguments))).says("ok")
    events = runs.events(api, runs.start(api)["id"])
    return [event["data"] for event in events if event["event"] in {"tool.completed", "tool.error"}]


def test_calculator_has_a_schema(api: Api, model: ScriptedModel, machine: object) -> None:
    refused = ended(api, model, "calculator", {}, {"expression": 7}, {"expression": "1", "more": 1})
    assert [data["code"] for data in refused] == ["invalid_arguments"] * 3


def test_current_time(api: Api, model: ScriptedModel, machine: object) -> None:
    done = ended(api, model, "current_time", {}, {"timezone": "UTC"}, {"timezone": "Asia/Tokyo"})
    told = [json.loads(data["output"])["time"] for data in done]
    assert [each[-6:] for each in told] == ["+00:00", "+00:00", "+09:00"]
    assert all(abs(datetime.fromisoformat(each).timestamp() - time.time()) < 60 for each in told)


def test_current_time_nowhere(api: Api, model: ScriptedModel, machine: object) -> None:
    zones = ["Mars/Olympus", "../../../etc/passwd", "/etc/passwd", "Europe", "Europe/", "a\x00b", "x" * 5_000, "ü", "."]
    refused = ended(api, model, "current_time", *({"timezone": zone} for zone in zones))
    assert [data["code"] for data in refused] == ["invalid_arguments"] * len(zones)


def test_echo(api: Api, model: ScriptedModel, machine: object) -> None:
    given = [{}, {"text": "tea"}, {"text": "a", "more": [1, None, {"b": 0.5}]}]
    assert [json.loads(data["output"]) for data in ended(api, model, "echo", *given)] == given
