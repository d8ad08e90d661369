"""The packages that are imported when they are asked for: nothing is missing, and nothing is there before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_LAYER = Path(__file__).parent.parent.parent / "layers" / "shared"
_IN_LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "TABLE_NAME": "table"}
_SERVER = _IN_LAMBDA | {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}
_PRINTS = "print('openai.types.responses.response' in sys.modules)"


def _printed(code: str, variables: dict[str, str]) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-c", f"import sys\nfrom shared.clients import llm\n{code}"]
    environment |= {"PYTHONPATH": str(_LAYER)} | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
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
