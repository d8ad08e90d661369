"""`If-Match`: change this version and no other."""

import pytest

from tests.unit.support.gateway import Api

CHANGES = [("PATCH", "/agents/x", {"role": "y"}), ("PUT", "/agents/x", {"name": "x"})]
CHANGES += [("PATCH", "/tools/x", {"description": "y"}), ("PUT", "/tools/x", {"name": "x"})]
each_change = pytest.mark.parametrize(("method", "path", "body"), CHANGES)


@pytest.fixture(autouse=True)
def _made(api: Api) -> None:
    api.make("/agents", name="x", version=7)
    api.make("/tools", name="x", version=7)


@each_change
@pytest.mark.parametrize("value", ["7", '"7"', 'W/"7"', " 7 ", "*", " * ", None])
def test_forms_that_match(api: Api, method: str, path: str, body: dict[str, str], value: str | None) -> None:
    answer = api.call(method, path, body, headers={} if value is None else {"If-Match": value})
    assert (answer.status, answer.json["version"]) == (200, 8)


@each_change
@pytest.mark.parametrize("value", ["6", "8", '"0"', "999999999"])
def test_other_versions(api: Api, method: str, path: str, body: dict[str, str], value: str) -> None:
    answer = api.call(method, path, body, headers={"if-match": value})
    assert (answer.status, answer.code) == (409, "version_conflict")
    assert api.get(path).json["version"] == 7


@pytest.mark.parametrize(
    "value", ["", "x", "-7", "7.0", "7,8", '"7", "8"', "9999999999", "\u0667", "0x7", "7\n8", "W/", '""']
)
def test_other_forms(api: Api, value: str) -> None:
    answer = api.patch("/agents/x", {"role": "y"}, headers={"If-Match": value})
    assert (answer.status, answer.code) == (400, "invalid_if_match")
    assert api.get("/agents/x").json["version"] == 7


def test_version_that_was_read_is_good_once(api: Api) -> None:
    assert api.patch("/agents/x", {"role": "first"}, headers={"If-Match": "7"}).status == 200
    assert api.patch("/agents/x", {"role": "second"}, headers={"If-Match": "7"}).status == 409
    assert api.get("/agents/x").json["role"] == "first"
