"""People over HTTP: from registration to logout, keys for tokens, many at once, and over a restart."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.integration.console import Console

PASSWORD = "correct horse battery"
WORKERS = 32


@pytest.fixture(scope="module")
def client(platform: Runtime) -> Iterator[httpx.Client]:
    """A client without credentials."""
    limits = httpx.Limits(max_connections=WORKERS)
    with httpx.Client(base_url=platform.url, timeout=60, limits=limits) as found:
        yield found


def draft(**fields: Any) -> dict[str, Any]:
    """A registration under names that nobody has."""
    name = f"person-{uuid.uuid4()}"
    return {"email": f"{name}@example.com", "username": name, "password": PASSWORD} | fields


def login(client: httpx.Client, person: dict[str, Any]) -> Any:
    answer = client.post("/auth/login", json={"username": person["username"], "password": person["password"]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def signed_up(client: httpx.Client, **fields: Any) -> tuple[dict[str, Any], Any]:
    """A new user and the tokens of their first login."""
    person = draft(**fields)
    answer = client.post("/auth/register", json=person)
    assert answer.status_code == 201, answer.text
    return person, login(client, person)


@pytest.mark.covers(
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/logout",
    "GET /auth/me",
    "POST /auth/token",
    "POST /api-keys",
    "GET /api-keys",
    "DELETE /api-keys/{api_key_id}",
)
def test_from_registration_to_logout(client: httpx.Client, platform: Runtime) -> None:
    person = draft(full_name="Ann Example", tenant_name="Acme")
    registered = client.post("/auth/register", json=person)
    assert registered.status_code == 201
    assert registered.json().keys() == {"id", "email", "username", "full_name", "is_active"}
    first = login(client, person)
    assert (first["token_type"], first["expires_in"]) == ("bearer", 1_800)
    me = client.get("/api/v1/auth/me", headers=bearer(first["access_token"])).json()
    assert (me["id"], me["full_name"], me["role"]) == (registered.json()["id"], "Ann Example", "admin")

    made = client.post("/api-keys", json={"name": "cli"}, headers=bearer(first["access_token"]))
    assert made.status_code == 201
    key = made.json()
    exchanged = client.post("/auth/token", headers={"X-API-Key": key["key"]}).json()
    assert exchanged.keys() == {"token", "access_token", "token_type", "expires_in"}
    agent = client.post("/agents", json={"name": "mine"}, headers=bearer(exchanged["token"]))
    assert (agent.status_code, agent.json()["owner_user_id"]) == (201, me["id"])
    form = {"grant_type": "client_credentials", "scope": "agents:read"}
    reader = client.post("/auth/token", data=form, auth=(key["id"], key["key"])).json()
    assert client.get("/agents", headers=bearer(reader["token"])).json() == [agent.json()]
    assert client.post("/agents", json={"name": "x"}, headers=bearer(reader["token"])).status_code == 403
    (listed,) = client.get("/api-keys", headers=bearer(first["access_token"])).json()
    assert listed["last_used_at"]
    assert client.delete(f"/api-keys/{key['id']}", headers=bearer(first["access_token"])).status_code == 204
    assert client.post("/auth/token", headers={"X-API-Key": key["key"]}).status_code == 401

    second = client.post("/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
    assert client.post("/auth/logout", headers=bearer(first["access_token"])).status_code == 204
    after = client.get("/auth/me", headers=bearer(second["access_token"]))
    assert (after.status_code, after.json()["code"]) == (401, "unauthorized")
    assert "Bearer" in after.json()["detail"]
    refused = client.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert refused.status_code == 401
    logs = (platform.data_dir / "functions.log").read_text()
    for secret in (PASSWORD, first["access_token"], second["refresh_token"], key["key"], reader["token"]):
        assert secret not in logs


@pytest.mark.covers("GET /users", "PATCH /users/{user_id}", "POST /users/invite", "POST /auth/register")
def test_users_of_two_tenants(client: httpx.Client) -> None:
    (ann, of_ann), (eve, of_eve) = signed_up(client), signed_up(client)
    as_ann, as_eve = bearer(of_ann["access_token"]), bearer(of_eve["access_token"])
    invite = client.post("/users/invite", json={"role": "user"}, headers=as_ann)
    assert (invite.status_code, invite.headers["cache-control"]) == (201, "no-store")
    bob, of_bob = signed_up(client, invite_token=invite.json()["invite_token"])
    users = client.get("/users", headers=as_ann).json()
    assert [user["username"] for user in users] == [bob["username"], ann["username"]]
    assert [user["username"] for user in client.get("/users", headers=as_eve).json()] == [eve["username"]]
    path = f"/users/{users[0]['id']}"
    assert client.patch(path, json={"is_active": False}, headers=as_eve).status_code == 404
    assert client.get("/users", headers=bearer(of_bob["access_token"])).status_code == 403
    assert client.patch(path, json={"role": "developer"}, headers=as_ann).json()["role"] == "developer"
    stays = client.patch(f"/users/{users[1]['id']}", json={"role": "user"}, headers=as_ann)
    assert (stays.status_code, stays.json()["code"]) == (409, "last_administrator")


@pytest.mark.covers("POST /auth/register")
def test_100_duplicates_of_a_registration_have_one_effect(client: httpx.Client) -> None:
    person, headers = draft(), {"Idempotency-Key": str(uuid.uuid4())}
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda _: client.post("/auth/register", json=person, headers=headers), range(100)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"in_flight"}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    tokens = login(client, person)
    assert len(client.get("/users", headers=bearer(tokens["access_token"])).json()) == 1


@pytest.mark.covers("POST /auth/register")
def test_of_many_registrations_of_one_name_one_succeeds(client: httpx.Client) -> None:
    person = draft()
    with ThreadPoolExecutor(8) as pool:
        send = lambda n: client.post("/auth/register", json=person | {"email": f"{n}-{person['email']}"})  # noqa: E731
        answers = list(pool.map(send, range(8)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}


@pytest.mark.covers("POST /auth/login")
def test_five_of_many_attempts_at_once_are_looked_at(client: httpx.Client) -> None:
    person, _ = signed_up(client)
    wrong = {"username": person["username"], "password": "wrong"}
    for name in (person["username"], f"nobody-{uuid.uuid4()}"):
        with ThreadPoolExecutor(WORKERS) as pool:
            send = lambda _, name=name: client.post("/auth/login", json=wrong | {"username": name})  # noqa: E731
            answers = list(pool.map(send, range(100)))
        assert Counter(answer.status_code for answer in answers) == {401: 5, 429: 95}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 429)
    assert client.post("/auth/login", json=wrong | {"password": person["password"]}).status_code == 429


@pytest.mark.covers("POST /auth/refresh")
def test_of_many_refreshes_at_once_one_wins(client: httpx.Client) -> None:
    _, tokens = signed_up(client)
    given = {"refresh_token": tokens["refresh_token"]}
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda _: client.post("/auth/refresh", json=given), range(WORKERS)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] == 1
    assert statuses.keys() <= {200, 401, 409}
    assert client.post("/auth/refresh", json=given).status_code == 401
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    again = client.post("/auth/refresh", json={"refresh_token": winner["refresh_token"]})
    assert again.status_code == 401, "the token was presented once more, so the login has ended"


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "a" * 8_000, "a.b.c.d", "..", "{}", "a b"])
def test_hostile_headers(client: httpx.Client, token: str) -> None:
    answer = client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "X-Trace-Id" in answer.headers


@pytest.mark.covers("GET /auth/test-token")
def test_test_tokens_are_off(client: httpx.Client) -> None:
    assert client.get("/auth/test-token").status_code == 404


@pytest.mark.covers("GET /auth/test-token", "POST /auth/logout")
def test_logins_outlive_a_restart(console: Callable[..., Console]) -> None:
    """The secret of the tokens is made once for a data folder; so is what was ended."""
    settings = {"ALLOW_TEST_TOKENS": "true", "AUTHORIZER_CACHE_SECONDS": "0"}
    first = console(**settings)
    first.wait_until_ready()
    url = f"http://127.0.0.1:{first.port}"
    with httpx.Client(base_url=url, timeout=30) as client:
        kept, ended = signed_up(client)[1], signed_up(client)[1]
        test_token = client.get("/auth/test-token").json()["token"]
        assert client.post("/auth/logout", headers=bearer(ended["access_token"])).status_code == 204
        assert client.get("/auth/me", headers=bearer(ended["access_token"])).status_code == 401
    first.process.terminate()
    first.ended()
    console(**settings).wait_until_ready()
    with httpx.Client(base_url=url, timeout=30) as client:
        assert client.get("/auth/me", headers=bearer(kept["access_token"])).status_code == 200
        assert client.get("/agents", headers=bearer(test_token)).status_code == 200
        assert client.post("/auth/refresh", json={"refresh_token": kept["refresh_token"]}).status_code == 200
        assert client.get("/auth/me", headers=bearer(ended["access_token"])).status_code == 401
