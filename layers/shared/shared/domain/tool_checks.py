"""What would make a call of a tool fail, as far as it can be known without calling anything.

No name is resolved: a look-up is a call, too, and its answer may be another one when the tool is called.
"""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import Field

from shared.clients.address import Target, is_operator_network, is_public, parse_url
from shared.clients.secrets import tool_secret
from shared.config import settings
from shared.domain import internal_tools, schemas, tool_requests, tools
from shared.domain.bindings import Hostname, SecretRef
from shared.domain.fields import Model, Record, json_size
from shared.domain.tools import Tool
from shared.errors import ToolError, Unprocessable
from shared.store.table import TenantStore


class ToolCheck(Model):
    """What a call would bring: arguments, and the terms of its binding. What is left out is not looked at."""

    args: Annotated[dict[str, Any], json_size(65_536)] | None = None
    secrets_ref: SecretRef | None = None
    allowed_domains: Annotated[list[Hostname], Field(max_length=10)] = []


class Problem(Record):
    """Something that would make a call fail: where, what, and its stable name."""

    loc: list[str]
    msg: str
    type: str


class Validation(Record):
    """Whether a call could succeed, and what stands in its way."""

    valid: bool
    problems: list[Problem]


def validate(store: TenantStore, tool_ref: str, draft: ToolCheck) -> Validation:
    """Look at a tool as a call would; 1 request (2 by name).

    Raises:
        NotFound: no such tool.
    """
    tool = tools.get(store, tool_ref)
    found = [*_schema(tool), *_type(tool), *_addresses(tool, draft), *_secret(tool, draft)]
    if draft.args is not None and not any(problem.loc == ["input_schema"] for problem in found):
        found += _arguments(tool, draft.args)
    return Validation(valid=not found, problems=found)


def _schema(tool: Tool) -> Iterator[Problem]:
    try:
        schemas.check(tool.input_schema)
    except Unprocessable as error:
        for each in error.errors or []:
            yield Problem(loc=["input_schema"], msg=each["msg"], type="invalid_schema")
    else:
        for text in tool_requests.problems(tool, tool.auth_config.header):
            yield Problem(loc=["argument_places"], msg=text, type="invalid_places")


def _type(tool: Tool) -> Iterator[Problem]:
    if tool.execution_type == "internal" and tool.name not in internal_tools.DESCRIPTIONS:
        yield Problem(loc=["name"], msg="the platform has no internal tool of this name", type="not_implemented")


def _addresses(tool: Tool, draft: ToolCheck) -> Iterator[Problem]:
    places = [("endpoint", tool.endpoint)]
    if tool.auth_type == "oauth2":
        places.append(("token_url", tool.auth_config.token_url))
    for name, url in places:
        if url is None:
            continue
        loc = ["auth_config", name] if name == "token_url" else [name]
        try:
            target = parse_url(url)
        except ValueError as reason:
            yield Problem(loc=loc, msg=str(reason), type="url_invalid")
            continue
        private = target.host_port in settings().tool_private_hosts
        if _is_denied(target, private=private):
            yield Problem(loc=loc, msg="the address is not public", type="address_blocked")
        if draft.allowed_domains and target.host not in draft.allowed_domains:
            yield Problem(loc=loc, msg=f"{target.host} is not among allowed_domains", type="host_not_allowed")
        if name == "token_url" and target.scheme != "https" and not private:
            yield Problem(loc=loc, msg="the token URL must be https", type="token_refused")


def _is_denied(target: Target, *, private: bool) -> bool:
    """Whether the host is an address that no call may reach. A name is not an address until it is resolved."""
    try:
        literal = ip_address(target.host)
    except ValueError:
        return False
    return not is_public(literal) and not (private and is_operator_network(literal))


def _secret(tool: Tool, draft: ToolCheck) -> Iterator[Problem]:
    if tool.auth_type not in {"api_key", "oauth2"}:
        return
    if draft.secrets_ref is None or not tool_secret(draft.secrets_ref):
        said = "names no secret that this deployment has" if draft.secrets_ref else "is needed by this auth_type"
        yield Problem(loc=["secrets_ref"], msg=f"secrets_ref {said}", type="secret_missing")


def _arguments(tool: Tool, given: dict[str, Any]) -> Iterator[Problem]:
    # Loaded only when arguments are there to check: it would double the cold start.
    from shared.domain import arguments

    own = internal_tools.schema_of(tool.name) if tool.execution_type == "internal" else {}
    try:
        arguments.parse(json.dumps(given), tool.input_schema or own)
        if tool.execution_type == "http_webhook":
            tool_requests.build(tool, given)
    except ToolError as error:
        yield Problem(loc=["args"], msg=error.detail, type=error.code)
