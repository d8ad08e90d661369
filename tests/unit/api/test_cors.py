"""Which pages may read an answer, and what of it."""

import pytest

from shared.domain import agents
from tests.unit.support.gateway import Answer, Api

LISTED = "https://app.example.com"


@pytest.fixture(autouse=True)
def origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", f"http://localhost:3000, {LISTED}")


def _get(api: Api, path: str, origin: str, header: str = "Origin") -> Answer:
    return api.get(path, headers={header: origin})


@pytest.mark.parametrize("header", ["Origin", "origin"])
@pytest.mark.parametrize("origin", ["http://localhost:3000", LISTED])
def test_a_listed_origin_is_echoed(api: Api, origin: str, header: str) -> None:
    answer = _get(api, "/agents", origin, header)
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["vary"] == "Origin"
    exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
    limits = {"retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
    assert exposed == {"idempotency-replayed", "link", "location", "x-next-cursor", "x-trace-id", *limits}


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "*",
        ",",
        "https://APP.example.com",
        "http://app.example.com",
        f"{LISTED}/",
        f"{LISTED}:443",
        f"{LISTED}.evil.example",
        f"http://localhost:3000,{LISTED}",
        f"http://localhost:3000, {LISTED}",
        "é",
    ],
)
def test_any_other_origin_is_not(api: Api, origin: str) -> None:
    answer = _get(api, "/agents", origin)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["vary"] == "Origin", "a cache must not hand this answer to a listed origin"


def test_without_a_list_nobody_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "")
    assert "access-control-allow-origin" not in _get(api, "/agents", LISTED).headers
    assert "access-control-allow-origin" not in _get(api, "/agents", "").headers


def test_errors_can_be_read_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Origin": LISTED}
    answers = [
        api.post("/agents", raw="{", headers=headers),
        api.as_(scopes="").get("/agents", headers=headers),
        api.get("/agents/nobody", headers=headers),
        api.post("/agents", {}, headers=headers),
    ]
    monkeypatch.delattr(agents, "get")
    answers.append(api.get("/agents/nobody", headers=headers))
    assert [answer.status for answer in answers] == [400, 403, 404, 422, 500]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {LISTED}


def test_a_replayed_answer_is_for_who_asks_now(api: Api) -> None:
    def post(origin: str) -> Answer:
        return api.post("/agents", {"name": "replayed"}, headers={"Origin": origin, "Idempotency-Key": "one"})

    assert post(LISTED).headers["access-control-allow-origin"] == LISTED
    replayed = post("http://localhost:3000")
    assert replayed.headers["idempotency-replayed"] == "true"
    assert replayed.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in post("https://evil.example").headers
