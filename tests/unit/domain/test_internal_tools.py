"""The platform's own tools, called as a run calls them."""

import json
import time
from datetime import datetime

import pytest

from shared.domain.internal_tools import calculate
from shared.errors import ToolError
from tests.unit.support import runs
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
    started = time.perf_counter()
    with pytest.raises(ToolError) as refused:
        calculate(expression)
    assert refused.value.code == "invalid_arguments"
    assert time.perf_counter() - started < 1


def test_result_is_json_whatever_its_size(api: Api, model: ScriptedModel, machine: object) -> None:
    runs.agent(api, runs.internal(api, "calculator"))
    asked = ["*".join(["9**750"] * count) for count in (1, 5, 6, 7, 60)] + ["1/3", "1e300*1e-300", "0.1+0.2"]
    model.asks(*(call("calculator", {"expression": each}, id=f"c{n}") for n, each in enumerate(asked))).says("ok")
    run = runs.start(api)
    assert run["status"] == "succeeded"
    ended = runs.named(runs.events(api, run["id"]), "tool.completed")
    assert len(ended) == 4
    for data in ended:
        assert list(json.loads(data["output"])) == ["result"]


@pytest.mark.parametrize("arguments", [{}, {"expression": 7}, {"expression": "1", "more": 1}])
def test_calculator_has_a_schema(api: Api, model: ScriptedModel, machine: object, arguments: dict[str, object]) -> None:
    runs.agent(api, runs.internal(api, "calculator"))
    model.asks(call("calculator", arguments)).says("ok")
    run = runs.start(api)
    assert runs.named(runs.events(api, run["id"]), "tool.error")[0]["code"] == "invalid_arguments"


@pytest.mark.parametrize(("timezone", "offset"), [(None, "+00:00"), ("UTC", "+00:00"), ("Asia/Tokyo", "+09:00")])
def test_current_time(api: Api, model: ScriptedModel, machine: object, timezone: str | None, offset: str) -> None:
    runs.agent(api, runs.internal(api, "current_time"))
    model.asks(call("current_time", {"timezone": timezone} if timezone else {})).says("ok")
    (data,) = runs.named(runs.events(api, runs.start(api)["id"]), "tool.completed")
    told = json.loads(data["output"])["time"]
    assert told.endswith(offset)
    assert abs(datetime.fromisoformat(told).timestamp() - time.time()) < 60


@pytest.mark.parametrize(
    "timezone",
    ["Mars/Olympus", "../../../etc/passwd", "/etc/passwd", "Europe", "Europe/", "a\x00b", "x" * 5_000, "ü", "."],
)
def test_current_time_nowhere(api: Api, model: ScriptedModel, machine: object, timezone: str) -> None:
    runs.agent(api, runs.internal(api, "current_time"))
    model.asks(call("current_time", {"timezone": timezone})).says("ok")
    (data,) = runs.named(runs.events(api, runs.start(api)["id"]), "tool.error")
    assert data["code"] == "invalid_arguments"


@pytest.mark.parametrize("arguments", [{}, {"text": "tea"}, {"text": "a", "more": [1, None, {"b": 0.5}]}])
def test_echo(api: Api, model: ScriptedModel, machine: object, arguments: dict[str, object]) -> None:
    runs.agent(api, runs.internal(api, "echo"))
    model.asks(call("echo", arguments)).says("ok")
    (data,) = runs.named(runs.events(api, runs.start(api)["id"]), "tool.completed")
    assert json.loads(data["output"]) == arguments
