"""Paths in answers are as the client sees them: behind the stage, or the base path of a domain."""

import pytest

from tests.unit.support.gateway import Api


@pytest.mark.parametrize("base", ["", "/live", "/api/v1"])
def test_the_place_of_a_new_thing_is_where_the_client_asked(api: Api, base: str) -> None:
    context = api_context(api, f"{base}/tools")
    answer = api.post("/tools", {"name": "first"}, requestContext=context)
    assert answer.headers["location"] == f"{base}/tools/{answer.json['id']}"


@pytest.mark.parametrize("base", ["", "/live", "/api/v1"])
def test_the_next_page_is_where_the_client_asked(api: Api, base: str) -> None:
    for name in ("first", "second"):
        api.make("/tools", name=name)
    answer = api.get("/tools?limit=1", requestContext=api_context(api, f"{base}/tools"))
    assert answer.headers["link"].startswith(f"<{base}/tools?limit=1&cursor=")


@pytest.mark.parametrize("asked", ["/live/agents/a%20b/clone", "/live/agents/a b/clone", "/live/agents/a%20b/clone/"])
def test_a_path_with_variables_may_be_encoded(api: Api, asked: str) -> None:
    api.make("/agents", name="a b", system_prompt="Help.")
    answer = api.post("/agents/a%20b/clone", {}, requestContext=api_context(api, asked))
    assert answer.headers["location"] == f"/live/agents/{answer.json['id']}"


def test_an_answer_given_again_is_placed_anew(api: Api) -> None:
    body, key = {"name": "first"}, {"Idempotency-Key": "once"}
    api.post("/tools", body, headers=key, requestContext=api_context(api, "/live/tools"))
    answer = api.post("/tools", body, headers=key, requestContext=api_context(api, "/api/v1/tools"))
    assert answer.headers["idempotency-replayed"] == "true"
    assert answer.headers["location"] == f"/api/v1/tools/{answer.json['id']}"


def api_context(api: Api, path: str) -> dict[str, object]:
    """What the gateway says of a request for a path."""
    speaks = {"tenant_id": api.tenant, "user_id": api.user, "role": "user", "scopes": api.scopes}
    speaks |= {"limits": api.limits, "budgets": api.budgets, "key_id": "key_1"}
    return {"stage": "live", "path": path, "authorizer": speaks, "identity": {"sourceIp": "203.0.113.7"}}
