"""Who may do what: every route of the template, with and without its scope."""

from collections.abc import Iterable

import pytest

from shared.domain.scopes import ADMIN, PLATFORM, SCOPES
from tests.house.contract import AUTHENTICATED, PUBLIC
from tests.unit.support.gateway import Api, Route, routes

NEEDED = {
    ("POST", "/agents"): "agents:write",
    ("GET", "/agents"): "agents:read",
    ("GET", "/agents/{agent_ref}"): "agents:read",
    ("PUT", "/agents/{agent_ref}"): "agents:write",
    ("PATCH", "/agents/{agent_ref}"): "agents:write",
    ("DELETE", "/agents/{agent_ref}"): "agents:write",
    ("POST", "/agents/{agent_ref}/publish"): "agents:write",
    ("GET", "/agents/{agent_ref}/versions"): "agents:read",
    ("GET", "/agents/{agent_ref}/versions/{version}"): "agents:read",
    ("POST", "/agents/{agent_ref}/versions/{version}/activate"): "agents:write",
    ("POST", "/agents/{agent_ref}/clone"): "agents:write",
    ("POST", "/agents/{agent_ref}/deploy"): "agents:write",
    ("POST", "/agents/{agent_ref}/undeploy"): "agents:write",
    ("POST", "/agents/{agent_ref}/run"): "runs:execute",
    ("POST", "/agents/{agent_ref}/interact"): "runs:execute",
    ("GET", "/agents/{agent_ref}/stats"): "agents:read",
    ("POST", "/tools"): "tools:write",
    ("POST", "/tools/import"): "tools:write",
    ("GET", "/tools"): "tools:read",
    ("GET", "/tools/categories"): "tools:read",
    ("GET", "/tools/types"): "tools:read",
    ("GET", "/tools/{tool_ref}"): "tools:read",
    ("PUT", "/tools/{tool_ref}"): "tools:write",
    ("PATCH", "/tools/{tool_ref}"): "tools:write",
    ("DELETE", "/tools/{tool_ref}"): "tools:write",
    ("GET", "/tools/{tool_ref}/stats"): "tools:read",
    ("POST", "/tools/{tool_ref}/deploy"): "tools:write",
    ("POST", "/tools/{tool_ref}/execute"): "runs:execute",
    ("POST", "/tools/{tool_ref}/test"): "runs:execute",
    ("POST", "/tools/{tool_ref}/validate"): "tools:write",
    ("POST", "/agents/{agent_ref}/tools/{tool_ref}"): "agents:write",
    ("GET", "/agents/{agent_ref}/tools"): "agents:read",
    ("GET", "/agents/{agent_ref}/tools/{tool_ref}"): "agents:read",
    ("DELETE", "/agents/{agent_ref}/tools/{tool_ref}"): "agents:write",
    ("POST", "/api-keys"): "api-keys:write",
    ("GET", "/api-keys"): "api-keys:read",
    ("DELETE", "/api-keys/{api_key_id}"): "api-keys:write",
    ("GET", "/users"): "users:read",
    ("PATCH", "/users/{user_id}"): "users:write",
    ("POST", "/users/invite"): "users:write",
    ("POST", "/tenants"): "tenants:write",
    ("GET", "/tenants"): "tenants:read",
    ("GET", "/tenants/{tenant_id}"): "tenants:read",
    ("PATCH", "/tenants/{tenant_id}"): "tenants:write",
    ("GET", "/tenants/{tenant_id}/usage"): "tenants:read",
    ("POST", "/runs"): "runs:execute",
    ("GET", "/runs"): "runs:read",
    ("POST", "/runs/stream"): "runs:execute",
    ("GET", "/runs/{run_id}/stream"): "runs:read",
    ("GET", "/runs/{run_id}"): "runs:read",
    ("GET", "/runs/{run_id}/events"): "runs:read",
    ("POST", "/runs/{run_id}/cancel"): "runs:write",
    ("GET", "/sessions"): "runs:read",
    ("GET", "/sessions/{session_id}"): "runs:read",
    ("DELETE", "/sessions/{session_id}"): "runs:write",
    ("GET", "/sessions/{session_id}/messages"): "runs:read",
    ("GET", "/executions"): "runs:read",
    ("GET", "/executions/{execution_id}"): "runs:read",
    ("POST", "/executions/{execution_id}/cancel"): "runs:write",
    ("POST", "/runtime/{agent_id}/execute"): "runs:execute",
    ("GET", "/runtime/executions"): "runs:read",
    ("GET", "/runtime/executions/{execution_id}"): "runs:read",
    ("POST", "/runtime/executions/{execution_id}/cancel"): "runs:write",
    ("GET", "/audit"): "audit:read",
    ("POST", "/uploads/agent/{agent_id}"): "agents:write",
    ("GET", "/uploads/agents/{agent_id}/artifacts/{filename}"): "agents:read",
    ("GET", "/logs/{agent_id}"): "agents:read",
    ("GET", "/logs/executions/{execution_id}/logs"): "runs:read",
    ("GET", "/agents/{agent_ref}/logs"): "agents:read",
    ("POST", "/agents/{agent_ref}/logs"): "agents:write",
}


def each(wanted: Iterable[tuple[str, str]]) -> pytest.MarkDecorator:
    found = [route for route in routes() if (route.method, route.path) in set(wanted)]
    return pytest.mark.parametrize("route", found, ids=lambda route: f"{route.method} {route.path}")


every_scoped_route = each(NEEDED)
every_closed_route = each([*NEEDED, *AUTHENTICATED])


def path(route: Route) -> str:
    return route.path.replace("{", "").replace("}", "")


def test_every_route_is_here() -> None:
    assert {(route.method, route.path) for route in routes()} == {*NEEDED, *PUBLIC, *AUTHENTICATED}


@every_scoped_route
@pytest.mark.parametrize("raw", [None, "{}", '{"nonsense": 1}', "[]"])
def test_no_other_scope_opens_a_route(api: Api, route: Route, raw: str | None) -> None:
    """Refused before the body is looked at: who may not call must not learn what the body should be."""
    needed = NEEDED[route.method, route.path]
    for scopes in ("", " ".join(SCOPES - {ADMIN, needed})):
        answer = api.as_(scopes=scopes).call(route.method, f"{path(route)}?limit=nonsense", raw=raw)
        assert (answer.status, answer.code) == (403, "scope_missing")
        assert answer.json["detail"] == f"This needs the scope {needed}."


@every_scoped_route
@pytest.mark.parametrize("which", ["needed", ADMIN])
def test_its_scope_opens_a_route(api: Api, route: Route, which: str) -> None:
    scope = NEEDED[route.method, route.path] if which == "needed" else ADMIN
    answer = api.as_(scopes=scope).call(route.method, path(route), raw=None if route.method == "GET" else '{"x": 1}')
    # What is the operator's, no tenant's administrator may do.
    closed = which == ADMIN and NEEDED[route.method, route.path] in PLATFORM
    assert answer.status in ({403} if closed else {200, 204, 404, 422})


@each(PUBLIC)
@pytest.mark.parametrize("context", [None, {}, {"authorizer": None}, {"authorizer": {"scopes": "admin"}}])
def test_anybody_may_call_a_public_route(api: Api, route: Route, context: object) -> None:
    answer = api.call(route.method, route.path, raw='{"nonsense": 1}', requestContext=context)
    assert answer.status in {200, 404, 422}


@each(AUTHENTICATED)
def test_whoever_is_known_may_ask_about_themselves(api: Api, route: Route) -> None:
    assert api.as_(scopes="").call(route.method, route.path).status in {200, 409}


@every_closed_route
@pytest.mark.parametrize("context", [None, {}, {"authorizer": None}, {"authorizer": {"scopes": "admin"}}])
def test_nobody_is_let_in_without_the_authorizer(api: Api, route: Route, context: object) -> None:
    answer = api.call(route.method, path(route), raw="{}", requestContext=context)
    assert (answer.status, answer.code) == (401, "unauthorized")


@pytest.mark.parametrize("header", ["x-tenant-id", "x-scopes", "x-user-id", "authorization"])
def test_headers_say_nothing_about_who_calls(api: Api, header: str) -> None:
    reader = api.as_(scopes="agents:read")
    assert reader.post("/agents", {"name": "x"}, headers={header: "admin"}).status == 403


def test_scopes_are_words(api: Api) -> None:
    for scopes in ("agents:readx", "xagents:read", "agents:read,tools:read", "AGENTS:READ", "agents:*"):
        assert api.as_(scopes=scopes).get("/agents").status == 403
