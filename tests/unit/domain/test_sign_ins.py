"""Login, its limit, refresh tokens that turn over, logout."""

import json
from collections.abc import Callable
from typing import Any

import bcrypt
import pytest

from tests.unit.conftest import Requests
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.machine import WorkerDied
from tests.unit.support.people import PASSWORD, as_bearer, joined, login, register, said, signed_up, tokens

pytestmark = pytest.mark.covers("POST /auth/login", "POST /auth/refresh", "POST /auth/logout", "GET /auth/me")

Items = Callable[[], list[dict[str, Any]]]
Travel = Callable[[float], None]
KEY = {"Idempotency-Key": "k-1"}


def refresh(api: Api, token: str, **options: Any) -> Answer:
    return api.post("/auth/refresh", {"refresh_token": token}, **options)


def families(items: Items) -> list[dict[str, Any]]:
    return [item for item in items() if item["sk"]["S"] == "REFRESH"]


def test_answer_of_a_login(api: Api) -> None:
    register(api)
    answer = login(api)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("bearer", 1_800)


@pytest.mark.parametrize(
    "name",
    [{"username": "ann"}, {"username": "ANN"}, {"username": "ann@example.com"}, {"email": "Ann@EXAMPLE.com"}],
)
def test_name_is_a_user_name_or_an_address(api: Api, name: dict[str, str]) -> None:
    register(api)
    assert api.post("/auth/login", {"password": PASSWORD} | name).status == 200


@pytest.mark.parametrize("name", [{}, {"username": "a", "email": "b"}, {"username": ""}, {"username": None}])
def test_one_name_is_needed(api: Api, name: dict[str, Any]) -> None:
    assert api.post("/auth/login", {"password": PASSWORD} | name).status == 422


def test_lifetime_is_a_setting(api: Api, setting: Callable[[str, str], None], travel: Travel) -> None:
    setting("ACCESS_TOKEN_EXPIRE_MINUTES", "5")
    register(api)
    found = tokens(api)
    assert found["expires_in"] == 300
    travel(301)
    assert said(found["access_token"]) is None


def test_refusals_are_alike(api: Api) -> None:
    """Unknown, wrong and deactivated: one text, one status."""
    admin = signed_up(api)
    bob = joined(admin, "bob", "user")
    admin.patch(f"/users/{bob.user}", {"is_active": False})
    refused = [login(api, "nobody"), login(api, "ann", "wrong password"), login(api, "bob")]
    assert {(answer.status, answer.code, answer.json["detail"]) for answer in refused} == {
        (401, "invalid_credentials", "The name or the password is wrong.")
    }


def test_nobody_and_somebody_cost_the_same(api: Api, requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    register(api)
    checked: list[bytes] = []
    check = bcrypt.checkpw

    def checkpw(text: bytes, found: bytes) -> bool:
        checked.append(found)
        return check(text, found)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    costs = [requests.of(lambda name=name: login(api, name, "wrong")) for name in ("ann", "nobody")]  # type: ignore[misc]
    assert costs[0] == costs[1] == ["GetItem", "PutItem", "GetItem", "GetItem", "UpdateItem"]
    assert [found[:7] for found in checked] == [b"$2b$04$", b"$2b$04$"]


def test_five_failures_close_a_name_for_15_minutes(api: Api, travel: Travel) -> None:
    register(api)
    for _ in range(5):
        assert login(api, "ann", "wrong").status == 401
        travel(60)
    answer = login(api)
    assert (answer.status, answer.code) == (429, "too_many_attempts"), "the right password, too"
    assert int(answer.headers["retry-after"]) == 600
    assert login(api, "ANN", "wrong").status == 429
    travel(601)
    assert login(api, "ann", "wrong").status == 401
    assert login(api).status == 429, "the window slides: the second failure still counts"
    travel(60)
    assert login(api).status == 200


def test_names_of_nobody_are_closed_alike(api: Api) -> None:
    assert [login(api, "nobody", "x").status for _ in range(7)] == [401] * 5 + [429] * 2
    assert login(api, "somebody", "x").status == 401


def test_good_logins_take_no_place(api: Api) -> None:
    register(api)
    for _ in range(4):
        login(api, "ann", "wrong")
    for _ in range(10):
        assert login(api).status == 200
    assert login(api, "ann", "wrong").status == 401
    assert login(api).status == 429


def test_places_are_exact_when_attempts_overtake_each_other(api: Api, faults: Faults) -> None:
    """Before each of the first writes another attempt comes in between."""
    register(api)
    seen: list[int] = []
    for number in range(4):
        faults.at(number, "before", lambda: seen.append(login(api, "ann", "wrong").status))
    seen += [login(api, "ann", "wrong").status for _ in range(6)]
    assert (seen.count(401), set(seen)) == (5, {401, 429})


def test_place_is_given_back_past_another_attempt(api: Api, faults: Faults) -> None:
    register(api)
    faults.at(1, "before", lambda: login(api, "ann", "wrong"))
    assert login(api).status == 200
    assert [login(api, "ann", "wrong").status for _ in range(5)] == [401] * 4 + [429]


def test_names_of_attempts_are_kept_hashed_and_for_a_time(api: Api, items: Items, things: Items) -> None:
    login(api, "Somebody-Secret", "wrong")
    (item,) = things()
    assert "somebody" not in json.dumps(items()).lower()
    assert item["expires_at"]["N"]


def test_refresh_gives_the_next_tokens(api: Api) -> None:
    register(api)
    first = tokens(api)
    second = refresh(api, first["refresh_token"])
    assert (second.status, second.headers["cache-control"]) == (200, "no-store")
    assert second.json.keys() == first.keys()
    assert second.json["refresh_token"] != first["refresh_token"]
    assert said(second.json["access_token"]) is not None
    assert said(first["access_token"]) is not None, "until it expires"
    assert refresh(api, second.json["refresh_token"]).status == 200


def test_spent_token_ends_the_login_and_its_access_tokens(api: Api, travel: Travel) -> None:
    register(api)
    other = tokens(api)
    first = tokens(api)
    second = refresh(api, first["refresh_token"]).json
    answer = refresh(api, first["refresh_token"])
    assert (answer.status, answer.code) == (401, "invalid_refresh_token")
    assert refresh(api, second["refresh_token"]).status == 401
    travel(61)
    assert said(second["access_token"]) is None
    assert said(first["access_token"]) is None
    assert said(other["access_token"]) is not None, "another login of the same user goes on"


def test_of_two_refreshes_at_once_one_wins(api: Api, faults: Faults) -> None:
    register(api)
    token = tokens(api)["refresh_token"]
    seen: list[Answer] = []
    faults.at(0, "before", lambda: seen.append(refresh(api, token)))
    loser = refresh(api, token)
    (winner,) = seen
    assert (winner.status, loser.status, loser.code) == (200, 409, "refresh_token_used")
    assert refresh(api, winner.json["refresh_token"]).status == 200, "the login goes on"


def test_refresh_carries_the_rights_of_now(api: Api, travel: Travel) -> None:
    admin = signed_up(api)
    bob = joined(admin, "bob", "developer")
    token = tokens(api, "bob")["refresh_token"]
    admin.patch(f"/users/{bob.user}", {"role": "user"})
    renewed = refresh(api, token).json
    assert said(renewed["access_token"])["role"] == "user"  # type: ignore[index]
    admin.patch(f"/users/{bob.user}", {"is_active": False})
    assert refresh(api, renewed["refresh_token"]).status == 401
    admin.patch(f"/users/{bob.user}", {"is_active": True})
    assert refresh(api, renewed["refresh_token"]).status == 401, "the login has ended"


def test_login_ends_after_30_days(api: Api, travel: Travel, items: Items) -> None:
    register(api)
    token = tokens(api)["refresh_token"]
    travel(29 * 24 * 3600)
    token = refresh(api, token).json["refresh_token"]
    travel(24 * 3600 + 1)
    assert refresh(api, token).status == 401
    assert all(item["expires_at"]["N"] for item in families(items))


@pytest.mark.parametrize(
    "token",
    ["x", ".", "x" * 200, "01900000-0000-7000-8000-000000000000." + "a" * 43, "../x." + "a" * 43, "ü" * 80, "\x00"],
)
def test_refresh_tokens_of_nobody(api: Api, token: str) -> None:
    answer = refresh(api, token)
    assert (answer.status, answer.code) == (401, "invalid_refresh_token")


def test_refresh_secret_is_nowhere(api: Api, items: Items) -> None:
    register(api)
    token = tokens(api)["refresh_token"]
    assert token.partition(".")[2] not in json.dumps(items())


def test_login_repeated_under_its_key_goes_on_with_one_login(api: Api, items: Items) -> None:
    register(api)
    first, second = login(api, headers=KEY).json, login(api, headers=KEY).json
    assert len(families(items)) == 1
    assert second["refresh_token"] != first["refresh_token"]
    assert refresh(api, second["refresh_token"]).status == 200


def test_refresh_whose_answer_was_lost_can_be_repeated(api: Api, faults: Faults, travel: Travel) -> None:
    """Under its Idempotency-Key it is the same request, not a spent token."""
    register(api)
    token = tokens(api)["refresh_token"]
    faults.at(2, "before", die)
    with pytest.raises(WorkerDied):
        refresh(api, token, headers=KEY)
    travel(36)
    again = refresh(api, token, headers=KEY)
    assert again.status == 200
    assert refresh(api, again.json["refresh_token"]).status == 200
    assert refresh(api, token).status == 401


def test_logout_ends_the_login(api: Api, travel: Travel) -> None:
    register(api)
    found = tokens(api)
    ann = as_bearer(api, found["access_token"])
    answer = ann.post("/auth/logout")
    assert (answer.status, answer.text) == (204, "")
    assert refresh(api, found["refresh_token"]).status == 401
    travel(61)
    assert said(found["access_token"]) is None
    assert ann.post("/auth/logout").status == 204, "repeatable"


def test_logout_denies_the_token_until_it_expires(api: Api, items: Items) -> None:
    ann = signed_up(api)
    ann.post("/auth/logout")
    (denied,) = [item for item in items() if item["sk"]["S"] == "DENIED"]
    assert denied["pk"]["S"] == f"DENIED#{ann.token['key_id']}"
    assert not families(items)


def test_logout_can_end_one_more_login_of_the_same_user(api: Api) -> None:
    ann = signed_up(api)
    other = tokens(api)["refresh_token"]
    register(api, "bob")
    foreign = tokens(api, "bob")["refresh_token"]
    assert ann.post("/auth/logout", {"refresh_token": foreign}).status == 204
    assert ann.post("/auth/logout", {"refresh_token": "x"}).status == 204
    assert refresh(api, foreign).status == 200, "nobody ends the login of another"
    assert ann.post("/auth/logout", {"refresh_token": other}).status == 204
    assert refresh(api, other).status == 401


def test_token_of_a_key_can_be_ended(api: Api, travel: Travel) -> None:
    token = api.post("/auth/token", headers={"X-API-Key": api.make("/api-keys")["key"]}).json["token"]
    assert as_bearer(api, token).post("/auth/logout").status == 204
    travel(61)
    assert said(token) is None


def test_key_does_not_log_out(api: Api) -> None:
    answer = api.post("/auth/logout")
    assert (answer.status, answer.code) == (409, "not_logged_in")


def test_me(api: Api) -> None:
    ann = signed_up(api, full_name="Ann Example")
    me = ann.get("/auth/me").json
    assert me == {
        "id": ann.user,
        "email": "ann@example.com",
        "username": "ann",
        "full_name": "Ann Example",
        "is_active": True,
        "tenant_id": ann.tenant,
        "role": "admin",
        "scopes": ["admin"],
    }
    by_key = api.as_(user="ci", scopes="agents:read").get("/auth/me").json
    assert (by_key["id"], by_key["username"], by_key["scopes"]) == ("ci", None, ["agents:read"])


def test_what_it_costs(api: Api, requests: Requests) -> None:
    register(api)
    token = tokens(api)["refresh_token"]
    looked_up = ["GetItem", "PutItem", "GetItem", "GetItem"]
    assert requests.of(lambda: login(api)) == [*looked_up, "PutItem", "PutItem", "UpdateItem"]
    assert requests.of(lambda: refresh(api, token)) == ["GetItem", "GetItem", "PutItem", "UpdateItem"]
    ann = as_bearer(api, tokens(api)["access_token"])
    assert requests.of(lambda: ann.get("/auth/me")) == ["GetItem"]
    logout = requests.of(lambda: ann.post("/auth/logout"))
    assert logout == ["TransactWriteItems", "UpdateItem"], "the second is the audit record"
