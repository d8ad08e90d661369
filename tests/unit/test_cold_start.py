"""The packages that are imported when they are asked for: nothing is missing, and nothing is there before."""

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import cold_start

_LAYER = Path(__file__).parent.parent.parent / "layers" / "shared"
_IN_LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "TABLE_NAME": "table"}
_SERVER = _IN_LAMBDA | {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}
_PRINTS = "print('openai.types.responses.response' in sys.modules)"


def _printed(code: str, variables: dict[str, str]) -> str:
    return _run(f"import sys\nfrom shared.clients import llm\n{code}", variables)


def _run(code: str, variables: dict[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PYTHONPATH": str(_LAYER)} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_nobody_asks_for_is_not_imported() -> None:
    assert _printed(_PRINTS, _IN_LAMBDA) == "False"


@pytest.mark.parametrize("variables", [{}, _SERVER], ids=["elsewhere", "server of streams"])
def test_where_there_may_be_two_threads_everything_is_imported(variables: dict[str, str]) -> None:
    assert _printed(_PRINTS, variables) == "True"


@pytest.mark.parametrize("asks", ["from openai.types.responses import Response", "openai.types.responses.Response"])
def test_who_asks_a_package_imports_what_it_imports(asks: str) -> None:
    assert _printed(f"import openai\n{asks}\n{_PRINTS}", _IN_LAMBDA) == "True"


def test_who_asks_for_everything_gets_everything() -> None:
    code = "import openai\nbefore = len(dir(openai.types))\nfrom openai.types import *\nprint(Completion.__name__)"
    assert _printed(f"{code}\nprint(len(dir(openai.types)) > before + 100)", _IN_LAMBDA) == "Completion\nTrue"


def test_what_is_not_there_is_missed_as_ever() -> None:
    code = "try:\n  import openai.types.nowhere\nexcept ModuleNotFoundError as error:\n  print(error.name)"
    assert _printed(code, _IN_LAMBDA) == "openai.types.nowhere"


_POWERTOOLS = """
from aws_lambda_powertools import Metrics, Tracer
from aws_lambda_powertools.event_handler import AppSyncResolver, Response
from aws_lambda_powertools.event_handler.api_gateway import Response as same
from aws_lambda_powertools.utilities.data_classes import ALBEvent, S3Event
print(Response is same, Tracer.__name__, S3Event.__name__, AppSyncResolver.__name__)
"""


def test_who_asks_powertools_for_more_gets_it() -> None:
    assert _printed(_POWERTOOLS, _IN_LAMBDA) == "True Tracer S3Event AppSyncResolver"


def test_a_name_comes_from_where_its_package_has_it() -> None:
    for package, names in cold_start.LATER.items():
        for name, part in names.items():
            found = importlib.import_module(f"{package}.{part}")
            assert getattr(importlib.import_module(package), name) is (found if name == part else getattr(found, name))


_DATA = """
import sys
texts = []
sys.addaudithook(lambda event, details: texts.append(details[0]) if event == "compile" else None)
import shared
from dataclasses import FrozenInstanceError, dataclass
from typing import ForwardRef, get_type_hints

@dataclass(frozen=True, order=True)
class Pair:
    one: int
    two: "list[int] | None" = None

also = ForwardRef("Pair")
in_quotes = get_type_hints(Pair)["two"]
own = [text for text in texts if isinstance(text, bytes) and b"__create_fn__" in text]
print(len(own), all(b"def __init__" in text for text in own))
from shared import cold_start
cold_start.end()
"""
_USED = """
pair = Pair(1)
print(pair, in_quotes, get_type_hints(Pair)["two"])
print(pair == Pair(1), pair == Pair(2), pair < Pair(2), hash(pair) == hash(Pair(1)), pair != 1)
for change in (lambda: setattr(pair, "one", 2), lambda: delattr(pair, "one")):
    try:
        change()
    except FrozenInstanceError as error:
        print(error)
@dataclass
class Later:
    one: int
print(Later(1), "written" in Later.__eq__.__code__.co_freevars)
"""


@pytest.mark.skipif(not hasattr(dataclasses, "_create_fn"), reason="all methods are written at once")
def test_of_a_data_class_only_what_makes_it_is_compiled() -> None:
    assert _run(_DATA, _IN_LAMBDA) == "1 True"


@pytest.mark.parametrize("variables", [{}, _IN_LAMBDA], ids=["elsewhere", "Lambda"])
def test_data_classes_do_what_they_do(variables: dict[str, str]) -> None:
    hints = "list[int] | None"
    assert _run(_DATA + _USED, variables).splitlines()[1:] == [
        f"Pair(one=1, two=None) {hints} {hints}",
        "True False True True True",
        "cannot assign to field 'one'",
        "cannot delete field 'one'",
        "Later(one=1) False",
    ]


_CHAT = """
import json, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,
    "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}]}
piece = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0,
    "finish_reason": None, "delta": {"role": "assistant", "content": "Hello"}}]}

class Model(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "broken":
            status, body = 400, json.dumps({"error": {"message": "no such model"}})
        elif asked.get("stream"):
            status, body = 200, f"data: {json.dumps(piece)}\\n\\ndata: [DONE]\\n\\n"
        else:
            status, body = 200, json.dumps(whole)
        self.send_response(status)
        self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args):
        pass

server = HTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=server.serve_forever, daemon=True).start()
import os
os.environ |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1", "OPENAI_API_KEY": "key"}
asked = {"tools": [], "params": {}, "timeout_s": 20}
say = [{"role": "user", "content": "Hi"}]
print(llm.chat("openai", "m", say, **asked).content)
print(next(piece for piece in llm.stream("openai", "m", say, tick_s=5, max_bytes=1000, **asked) if piece))
try:
    llm.chat("openai", "broken", say, **asked)
except Exception as error:
    print(type(error).__name__)
"""


def test_a_model_is_asked_all_the_same() -> None:
    said = _printed(f"{_CHAT}\n{_PRINTS}", _IN_LAMBDA).splitlines()
    assert [line for line in said if not line.startswith("{")] == ["Hello", "Hello", "ModelRejected", "False"]
