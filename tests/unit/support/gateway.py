"""API Gateway on paper: finds the function file that declares a route, and calls its handler."""

import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

from local.operations import operations

ROOT = Path(__file__).parents[3]
_MISSING: Any = object()


class _TemplateLoader(yaml.SafeLoader):
    """YAML in which CloudFormation's short forms (`!Ref`, `!Sub`) are left unread."""


_TemplateLoader.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix}")


@cache
def _template() -> Any:
    return yaml.load((ROOT / "template.yaml").read_text(), _TemplateLoader)


def table() -> Any:
    """What the template says of the table's keys and indexes, as `create_table` takes it."""
    properties = _template()["Resources"]["Table"]["Properties"]
    wanted = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
    return {name: properties[name] for name in wanted}


@cache
def functions() -> dict[str, dict[str, Any]]:
    """The template's functions by logical id; each with its `module`, such as `agents/create`."""
    found = {}
    for name, resource in _template()["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = resource["Properties"]
            folder = properties["CodeUri"].removeprefix("functions/")
            found[name] = properties | {"module": folder + Path(properties["Handler"]).stem}
    return found


@cache
def load(module: str, environment: int = 0) -> ModuleType:
    """A function's module, such as `agents/create`, loaded by its path and once for each environment."""
    name = f"function_{module.replace('/', '_')}_{environment}"
    spec = importlib.util.spec_from_file_location(name, ROOT / "functions" / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


_under_way = 0


def invoke(module: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call an API function. While another call is under way it gets an environment of its own, as in Lambda."""
    global _under_way
    # Powertools keeps the event of the call on a class that all resolvers share.
    kept = getattr(BaseRouter, "current_event", None)
    environment, _under_way = _under_way, _under_way + 1
    try:
        answer: dict[str, Any] = load(module, environment).handler(event, None)
        return answer
    finally:
        _under_way = environment
        if kept is not None:
            BaseRouter.current_event = kept


@dataclass(frozen=True)
class Route:
    """A method and path of the API, and the function behind it."""

    method: str
    path: str
    module: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found else None


@cache
def routes() -> list[Route]:
    """Every route that a function file declares; a static segment wins over a variable, as at the gateway."""
    found = [Route(one.method, one.path, f"{one.file.parent.name}/{one.file.stem}") for one in operations()]
    return sorted(found, key=lambda route: route.path.count("{"))


@dataclass(frozen=True)
class Answer:
    """What a handler answered. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body. Python reads `NaN`, JSON does not: such an answer is a defect."""
        return json.loads(self.text, parse_constant=_refuse)

    @property
    def code(self) -> str:
        """The code of an error body."""
        return str(self.json["code"])


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


@dataclass(frozen=True)
class Api:
    """The API as one caller sees it.

    Attributes:
        scopes: what the authorizer says that the caller holds, separated by blanks.
        limits, budgets: the tenant's limits and the key's budgets as the authorizer says them: none.
        token: what the authorizer says of an access token, by name; nothing of a key.
    """

    tenant: str = "tenant_a"
    user: str = "user_1"
    scopes: str = "admin"
    limits: str = '{"requests": [], "runs": []}'
    budgets: str = ""
    token: Mapping[str, str] = field(default_factory=dict)

    def as_(self, **who: Any) -> "Api":
        """The API as somebody else sees it: `tenant`, `user`, `scopes`."""
        return replace(self, **who)

    def call(
        self,
        method: str,
        path: str,
        body: Any = _MISSING,
        *,
        raw: str | None = None,
        headers: Mapping[str, str | None] | None = None,
        **changed: Any,
    ) -> Answer:
        """Send a request, and check what must hold for every answer.

        Args:
            body: sent as JSON; raw: sent as it is. path: may have a query. headers: None leaves out the content type.
            changed: fields of the event to set, such as `isBase64Encoded`.
        """
        text = raw if body is _MISSING else json.dumps(body)
        given = {name.lower() for name in headers or {}}
        sent = {"content-type": "application/json"} if text is not None and "content-type" not in given else {}
        sent |= {name: value for name, value in (headers or {}).items() if value is not None}
        path, _, query = path.partition("?")
        for route in routes():
            parameters = route.match(method, path)
            if parameters is not None:
                event = self.event(route, path, query, text, sent, parameters)
                return _checked(invoke(route.module, event | changed))
        raise AssertionError(f"no function declares {method} {path}")

    def event(
        self, route: Route, path: str, query: str, body: str | None, headers: dict[str, str], parameters: dict[str, str]
    ) -> dict[str, Any]:
        """The event of a REST API's Lambda proxy integration."""
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        values: dict[str, list[str]] = {}
        for name, _, value in pairs:
            values.setdefault(name, []).append(value)
        speaks = {"tenant_id": self.tenant, "user_id": self.user, "role": "user", "scopes": self.scopes}
        speaks |= {"limits": self.limits, "budgets": self.budgets, "key_id": "key_1", **self.token}
        return {
            "resource": route.path,
            "path": path,
            "httpMethod": route.method,
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
            "queryStringParameters": {name: found[-1] for name, found in values.items()} or None,
            "multiValueQueryStringParameters": values or None,
            "pathParameters": parameters or None,
            "stageVariables": None,
            "requestContext": {"stage": "live", "path": path, "authorizer": speaks}
            | {"identity": {"sourceIp": "203.0.113.7"}},
            "body": body,
            "isBase64Encoded": False,
        }

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = _MISSING, **options: Any) -> Answer:
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = _MISSING, **options: Any) -> Answer:
        return self.call("PUT", path, body, **options)

    def patch(self, path: str, body: Any = _MISSING, **options: Any) -> Answer:
        return self.call("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.call("DELETE", path, **options)

    def make(self, path: str, **body: Any) -> Any:
        """Create something and return it."""
        answer = self.post(path, body)
        assert answer.status == 201, answer.text
        return answer.json


def _checked(raw: dict[str, Any]) -> Answer:
    headers = {name.lower(): values[0] for name, values in raw["multiValueHeaders"].items()}
    answer = Answer(raw["statusCode"], headers, raw.get("body") or "")
    json.dumps(raw).encode()  # what Lambda does with it
    assert headers["x-trace-id"]
    assert not raw.get("isBase64Encoded")
    if answer.status in {204, 302}:
        assert not answer.text
        return answer
    if answer.status < 400 and headers["content-type"].startswith("text/html"):
        return answer
    if answer.status == 200 and headers["content-type"] == "text/event-stream":
        return answer  # what follows is tested through tests.unit.support.stream
    assert headers["content-type"] == "application/json"
    if answer.status >= 400:
        assert set(answer.json) - {"errors"} == {"detail", "code", "trace_id"}
        assert answer.json["trace_id"] == headers["x-trace-id"]
        assert answer.status == 422 or "errors" not in answer.json
    return answer
