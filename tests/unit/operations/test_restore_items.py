"""What a restored table holds comes back into the stack's own, and nothing that was ended on purpose."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from operations import delete_tenant, restore_items
from shared.clients import aws, gateway
from shared.domain import tenant_directory, tenants
from shared.store import keys
from shared.store.all_tenants import AllTenants
from shared.store.table import Change
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize
from tests.unit.support.people import login, signed_up

Items = Callable[[], list[dict[str, Any]]]
Travel = Callable[[float], None]

RESTORED = "table-restored"


@pytest.fixture
def copied(items: Items) -> Iterator[Callable[[], None]]:
    """Copies the table as it is now, as AWS does when it restores one."""
    client = aws.dynamodb()

    def copy() -> None:
        for item in items():
            client.put_item(TableName=RESTORED, Item=item)

    attributes: Any = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
    schema: Any = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    client.create_table(
        TableName=RESTORED, AttributeDefinitions=attributes, KeySchema=schema, BillingMode="PAY_PER_REQUEST"
    )
    yield copy
    client.delete_table(TableName=RESTORED)


def restored(tenant_id: str | None = None, *, overwrite: bool = False, really: bool = True) -> dict[str, int]:
    return dict(restore_items.restore(RESTORED, tenant_id, overwrite=overwrite, really=really))


def without_stamps(items: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {
        (item["pk"]["S"], item["sk"]["S"]): {name: value for name, value in item.items() if name != "by"}
        for item in items
    }


def test_a_tenant_that_was_deleted_by_mistake_comes_back_whole(
    api: Api, items: Items, copied: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("drop_key", "drop_plan"):
        monkeypatch.setattr(gateway, name, lambda tenant_id: None)
    operator = api.as_(tenant="house", scopes="tenants:read tenants:write")
    key = operator.make("/tenants", id="acme", name="Acme")["admin_key"]
    operator.make("/tenants", id="other", name="Other")
    admin = api.as_(tenant="acme", user="acme-admin")
    agent = admin.make("/agents", name="support")
    operator.patch("/tenants/acme", {"status": "suspended"})
    before = without_stamps(items())
    copied()
    delete_tenant.delete(AllTenants(), tenant_directory.get(AllTenants(), "acme"), keep_audit=False)
    assert len(items()) < len(before)
    assert restored("other") == {"same": 4}, "another tenant lacks nothing"
    dry = restored("acme", really=False)
    assert len(items()) < len(before)
    assert restored("acme") == dry | {"put back": dry["missing"]}
    assert without_stamps(items()) == before
    assert "missing" not in restored()
    operator.patch("/tenants/acme", {"status": "active"})
    assert authorize(key) is not None
    assert admin.get(f"/agents/{agent['id']}").json["name"] == "support"


def test_a_tenants_key_at_the_gateway_is_made_anew(api: Api, items: Items, copied: Callable[[], None]) -> None:
    api.as_(tenant="house", scopes="tenants:write").make("/tenants", id="acme", name="Acme")
    place: Any = {"pk": {"S": "TENANT#acme#TENANT"}, "sk": {"S": "TENANT"}}
    AllTenants().store_of("acme").write(Change(keys.TENANT, set_parts={tenants.GATEWAY_PART: '{"key": "gone"}'}))
    copied()
    aws.dynamodb().delete_item(TableName="table", Key=place)
    assert restored("acme")["put back"] == 1
    (record,) = [item for item in items() if item["pk"] == place["pk"]]
    assert set(record["parts"]["M"]) == {"made_by"}


def test_what_was_changed_since_is_left_alone_unless_asked(api: Api, copied: Callable[[], None]) -> None:
    agent = api.make("/agents", name="support", description="old")
    copied()
    api.patch(f"/agents/{agent['id']}", {"description": "new"})
    new = api.make("/agents", name="new")
    assert "put back" not in restored()
    assert api.get(f"/agents/{agent['id']}").json["description"] == "new"
    assert restored(overwrite=True)["put back"] == 1
    assert api.get(f"/agents/{agent['id']}").json["description"] == "old"
    assert api.get(f"/agents/{new['id']}").status == 200, "what is new stays"


def test_what_was_ended_on_purpose_stays_ended(api: Api, copied: Callable[[], None], travel: Travel) -> None:
    kept, revoked = api.make("/api-keys"), api.make("/api-keys")
    signed_up(api, "ann")
    tokens = login(api, "ann").json
    copied()
    assert api.delete(f"/api-keys/{revoked['id']}").status == 204
    assert api.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status == 200
    assert api.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status == 401, "the login has ended"
    restored()
    travel(61)
    assert authorize(revoked["key"]) is None
    assert authorize(kept["key"]) is not None
    assert api.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status == 401


def test_what_has_expired_does_not_come_back(
    api: Api, items: Items, copied: Callable[[], None], travel: Travel
) -> None:
    api.make("/users/invite")
    copied()
    (invite,) = [item for item in items() if item["pk"]["S"].startswith("INVITE#")]
    aws.dynamodb().delete_item(TableName="table", Key={"pk": invite["pk"], "sk": invite["sk"]})
    travel(8 * 24 * 3_600)
    restored()
    assert not [item for item in items() if item["pk"]["S"].startswith("INVITE#")]


def test_what_is_made_in_the_same_moment_stays(
    api: Api, items: Items, copied: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = api.make("/agents", name="support")
    copied()
    before = without_stamps(items())
    compared = restore_items._compared

    def a_moment_ago(chunk: Any) -> Any:
        # All of them seem to be missing.
        return [(raw, None) for raw, _ in compared(chunk)]

    monkeypatch.setattr(restore_items, "_compared", a_moment_ago)
    assert restored()["put back"] == 0
    assert without_stamps(items()) == before
    assert api.get(f"/agents/{agent['id']}").status == 200
