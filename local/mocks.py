"""Mock integrations: answers that the gateway makes from mapping templates, in the Velocity language."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from airspeed import Template

from local.messages import Reply
from local.stack import Mock

_USUAL = "application/json"


class NoTemplateError(Exception):
    """The mock has no template for what the request carries."""


class _Input:
    """What the templates know as ``$input``."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._places = [event["pathParameters"], event["queryStringParameters"], event["headers"]]

    def params(self, name: str) -> str:
        """A parameter from the path, the query or the headers; the first that has it."""
        return next((str(place[name]) for place in self._places if place and name in place), "")


def mock_reply(mock: Mock, event: Mapping[str, Any]) -> Reply:
    """What a mock answers to a request.

    Raises:
        NoTemplateError: none takes the request's content type.
    """
    content_type = (event["headers"].get("content-type") or _USUAL).partition(";")[0].strip()
    if content_type not in mock.requests:
        raise NoTemplateError(content_type)
    override: dict[str, Any] = {"header": {}}
    names = {"input": _Input(event), "context": {**event["requestContext"], "responseOverride": override}}
    wanted = str(json.loads(_template(mock.requests[content_type]).merge(names))["statusCode"])
    status, templates = _answer(mock, wanted)
    body = _template(templates.get(_USUAL, "")).merge(names).encode()
    headers = {"Content-Type": _USUAL} | override["header"]
    return Reply(int(override.get("status", status)), tuple(headers.items()), body)


def _answer(mock: Mock, status: str) -> tuple[int, Mapping[str, str]]:
    """The first answer whose pattern fits the status, or else the one named default."""
    found = {pattern: (answer, templates) for pattern, answer, templates in mock.answers}
    fitting = [pattern for pattern in found if pattern != "default" and re.fullmatch(pattern, status)]
    return found[fitting[0] if fitting else "default"]


@cache
def _template(text: str) -> Any:
    return Template(text)
