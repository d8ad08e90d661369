"""The client of all measurements: the standard library's, since it costs the least of the time measured."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit


class Client:
    """One keep-alive connection.

    Args:
        url: of the server, without a path.
        headers: sent with each request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer.

        Args:
            body: sent as JSON; a text as it is.

        Raises:
            RuntimeError: the answer is no 2xx; a measurement of errors would be worthless.
        """
        answer = self._ask(method, path, body)
        text = answer.read()
        return json.loads(text) if text else None

    def watch(self, path: str, body: Any) -> Iterator[tuple[int, str, Any]]:
        """The events of a streamed answer: nanoseconds of the monotonic clock at its arrival, name, data.

        Raises:
            RuntimeError: as `send`.
        """
        answer = self._ask("POST", path, body)
        name = ""
        while line := answer.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield time.monotonic_ns(), name, json.loads(value)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: Any) -> http.client.HTTPResponse:
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.read()[:300]!r}")
        return answer
