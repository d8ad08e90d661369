"""What stands around the platform in tests: tools that misbehave and a model with a script, over real HTTP."""

import base64
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes | Generator[bytes, None, None]]
JSON = {"Content-Type": "application/json"}
MODEL = "/v1/chat/completions"


def milliseconds_for(code: str) -> int:
    """How long to wait for a tool whose call ends with this error code: not long for one that never answers."""
    return 1_000 if code == "timeout" else 15_000


class Neighbours:
    """A server whose paths are tools (``/tool/...``) and a model (``/v1/chat/completions``).

    Attributes:
        seen: the requests by path, each with its headers (lower-case) and its body.
        script: by model name, the messages that the model answers with, one after another; an int is an HTTP error.
        hung_up: by model name, how many of its streams were not read to their end.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[dict[str, str], Any]]] = {}
        self.script: dict[str, list[dict[str, Any] | int]] = {}
        self._gates: dict[str, threading.Event] = {}
        self.hung_up: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._meetings: dict[str, threading.Barrier] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator["Neighbours"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            for gate in list(self._gates.values()):
                gate.set()
            self._server.shutdown()
            self._server.server_close()

    def calls(self, path: str) -> int:
        """How often a path was asked for."""
        return len(self.seen.get(path, []))

    def asked(self, model: str) -> int:
        """How often a model was asked."""
        return sum(body["model"] == model for _, body in self.seen.get(MODEL, []))

    def gate(self, name: str) -> threading.Event:
        """What a tool (by its path) or a model waits for; closed until it is set."""
        with self._lock:
            return self._gates.setdefault(name, threading.Event())

    def _answer(self, path: str, headers: dict[str, str], body: Any, line: str) -> Answer:
        with self._lock:
            self.seen.setdefault(path, []).append((headers, body))
        tools: dict[str, Callable[[], Answer]] = {
            "/tool/echo": lambda: (200, JSON, json.dumps({"echo": body}).encode()),
            "/tool/headers": lambda: (200, JSON, json.dumps(headers).encode()),
            "/tool/huge": lambda: (200, {}, b"x" * 10_000_000),
            "/tool/redirect": lambda: (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b""),
            "/tool/broken": lambda: (500, {}, b"out of order"),
            "/tool/hang": lambda: self._hang(),
        }
        if path == MODEL:
            return self._model(body)
        if path.startswith("/tool/mirror/"):
            return 200, JSON, json.dumps({"line": line, "headers": headers, "body": body}).encode()
        if path.startswith("/token/"):
            return self._token(path, headers)
        if path.startswith("/tool/gate/"):
            self.gate(path).wait(60)
            return 200, JSON, json.dumps({"gate": "open"}).encode()
        if path.startswith("/tool/together/"):
            return self._together(path)
        if path.startswith("/tool/flaky/"):
            with self._lock:
                self._failures[path] += 1
                first = self._failures[path] == 1
            return (503, {}, b"busy") if first else (200, JSON, b'{"ok": true}')
        return tools[path]() if path in tools else (404, {}, b"no such neighbour")

    def _token(self, path: str, headers: dict[str, str]) -> Answer:
        """A token server; the word behind ``/token/`` says how it behaves."""
        basic = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        token = {"access_token": f"token-{self.calls(path)}", "token_type": "Bearer", "expires_in": 3600}
        match path.split("/")[2]:
            case "slow":
                return self._hang()
            case "huge":
                return 200, JSON, b"x" * 1_000_000
            case "redirect":
                return 302, {"Location": "http://169.254.169.254/token"}, b""
        refused = 401, JSON, b'{"error": "invalid_client"}'
        return (200, JSON, json.dumps(token).encode()) if basic == "shop:s3cr3t-value-of-the-tool" else refused

    def _hang(self) -> Answer:
        self.gate("/tool/hang").wait(60)
        return 200, {}, b"too late"

    def _together(self, path: str) -> Answer:
        """Answers when as many calls are at work at once as the last part of the path says."""
        with self._lock:
            meeting = self._meetings.setdefault(path, threading.Barrier(int(path.rpartition("/")[2])))
        with suppress(threading.BrokenBarrierError):
            meeting.wait(60)
        return 503 if meeting.broken else 200, JSON, b"{}"

    def _model(self, body: Any) -> Answer:
        with self._lock:
            steps = self.script.get(body["model"], [])
            step = steps.pop(0) if steps else 400
        if isinstance(step, int):
            return step, JSON, json.dumps({"error": {"message": "scripted failure", "code": "scripted"}}).encode()
        time.sleep(step.pop("delay", 0))
        if gate := step.pop("gate", None):
            self.gate(gate).wait(60)
        if body.get("stream"):
            return 200, {"Content-Type": "text/event-stream"}, self._stream(body["model"], step)
        for name in ("pieces", "pause", "breaks", "held"):
            step.pop(name, None)
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None} | step}
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
        return 200, JSON, json.dumps(answer).encode()

    def _stream(self, model: str, step: dict[str, Any]) -> Generator[bytes, None, None]:
        """The same message as a stream: in the pieces that the step names, else in one."""
        common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        calls = [{"index": n} | call for n, call in enumerate(step.get("tool_calls", ()))]
        pieces = step.get("pieces", [step["content"]] if step.get("content") else [])
        deltas = itertools.chain(({"content": piece} for piece in pieces), [{"tool_calls": calls}] if calls else [])
        held, gate = step.get("held") or (0, "")
        whole = False
        try:
            for number, delta in enumerate(deltas):
                if gate and number == held:
                    self.gate(gate).wait(60)
                yield _sent(common | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                time.sleep(step.get("pause", 0))
            if step.get("breaks"):
                return
            yield _sent(common | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            yield _sent(common | {"choices": [], "usage": usage}) + b"data: [DONE]\n\n"
            whole = True
        finally:
            if not whole and not step.get("breaks"):
                self.hung_up[model] += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        neighbours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path.partition("?")[0]
                is_form = "form" in headers.get("content-type", "")
                given = text.decode() if is_form else json.loads(text) if text else None
                status, extra, body = neighbours._answer(path, headers, given, f"{self.command} {self.path}")
                try:
                    self.send_response(status)
                    for name, value in extra.items():
                        self.send_header(name, value)
                    if isinstance(body, bytes):
                        self.send_header("Content-Length", str(len(body)))
                        self.end_headers()
                        self.wfile.write(body)
                    else:
                        self._write_chunks(body)
                except OSError:
                    # The platform hung up, as it should on a tool that is too slow or too large.
                    self.close_connection = True

            def _write_chunks(self, chunks: Generator[bytes, None, None]) -> None:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with closing(chunks):
                    for chunk in chunks:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        return Handler


def asks(*calls: tuple[str, dict[str, Any]], first: int = 1) -> dict[str, Any]:
    """A model's message that asks for tool calls."""
    return {
        "tool_calls": [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for n, (name, arguments) in enumerate(calls, first)
        ]
    }


def tells(
    *pieces: str, pause: float = 0.005, held: tuple[int, str] | None = None, breaks: bool = False
) -> dict[str, Any]:
    """A model's answer in these pieces, so many seconds apart.

    Args:
        held: after so many pieces, it waits for the gate of this name.
        breaks: its stream ends before the answer does.
    """
    return {"content": "".join(pieces), "pieces": pieces, "pause": pause, "held": held, "breaks": breaks}


def talks(over: threading.Event, pause: float = 0.01) -> dict[str, Any]:
    """A model's answer, streamed number by number until it is over."""
    numbers = (f"{n} " for n in itertools.takewhile(lambda _: not over.is_set(), itertools.count()))
    return {"content": None, "pieces": numbers, "pause": pause}


def _sent(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def says(text: str, delay: float = 0, gate: str | None = None) -> dict[str, Any]:
    """A model's answer, after so many seconds, and not before its gate is open."""
    return {"content": text, "delay": delay, "gate": gate}
