"""A tenant is deleted whole, in steps that may be cut off, and nobody else loses a byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operations import delete_tenant
from operations.command import Refused
from shared.clients import aws, gateway, machines, objects
from shared.domain import run_records, tenant_directory
from shared.domain.tenants import Tenant
from shared.errors import ConditionFailed, TableBusy
from shared.store import keys
from shared.store.all_tenants import AllTenants
from shared.store.table import Put
from tests.unit.support import tarballs, uploads
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.people import joined, signed_up

Travel = Callable[[float], None]
Items = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was dropped at the gateway."""
    found: list[str] = []
    monkeypatch.setattr(gateway, "drop_key", lambda tenant_id: found.append(f"key of {tenant_id}"))
    monkeypatch.setattr(gateway, "drop_plan", lambda tenant_id: found.append(f"plan of {tenant_id}"))
    return found


@pytest.fixture
def stopped(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose machines were stopped."""
    found: list[str] = []
    monkeypatch.setattr(machines, "stop_background", found.append)
    return found


def furnished(api: Api, tenant_id: str) -> Api:
    """A tenant with something of each kind, as its administrator."""
    operator = api.as_(tenant="house", scopes="tenants:read tenants:write")
    operator.make("/tenants", id=tenant_id, name=tenant_id)
    admin = api.as_(tenant=tenant_id, user=f"{tenant_id}-admin")
    for n in range(30):
        admin.make("/agents", name=f"agent-{n}")
    admin.make("/tools", name="echo", endpoint="https://tools.example/echo")
    admin.make("/api-keys")
    admin.make("/users/invite", email=f"left@{tenant_id}.example")
    return admin


def tenant_of(tenant_id: str) -> Tenant:
    return tenant_directory.get(AllTenants(), tenant_id)


def suspended(api: Api, tenant_id: str) -> Tenant:
    operator = api.as_(tenant="house", scopes="tenants:read tenants:write")
    assert operator.patch(f"/tenants/{tenant_id}", {"status": "suspended"}).status == 200
    return tenant_of(tenant_id)


def texts(items: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(item, sort_keys=True) for item in items}


def test_nothing_of_a_tenant_is_left_and_nothing_of_others_is_touched(
    api: Api, items: Items, dropped: list[str]
) -> None:
    operator = api.as_(tenant="house", scopes="tenants:read tenants:write")
    operator.make("/tenants", id="acme2", name="A name that begins alike")
    furnished(api, "other")
    founder = signed_up(api, "zoe")
    before = texts(items())
    ann = signed_up(api, "ann")
    tenant_id = ann.tenant
    furnished(api, "acme")
    for target in (tenant_id, "acme"):
        tenant = suspended(api, target)
        counts = delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
        assert counts.total() > 5
    left = [item for item in items() if json.dumps(item, sort_keys=True) not in before]
    # What the operator did is in the operator's own audit, and attempts to log in go by themselves.
    assert {item["pk"]["S"].partition("#")[0] for item in left} <= {"ATTEMPTS", "TENANT"}
    assert all(item["pk"]["S"].startswith(("ATTEMPTS#", "TENANT#house#AUDIT")) for item in left)
    assert before <= texts(items())
    assert dropped == [f"{what} of {who}" for who in (tenant_id, "acme") for what in ("key", "plan")]
    assert founder.get("/users").status == 200


def test_people_may_come_back(api: Api) -> None:
    ann = signed_up(api, "ann")
    joined(ann, "bob", "user")
    delete_tenant.delete(AllTenants(), suspended(api, ann.tenant), keep_audit=False)
    again = signed_up(api, "ann")
    assert again.tenant != ann.tenant
    assert signed_up(api, "bob").tenant not in {ann.tenant, again.tenant}


def test_cut_off_anywhere_it_goes_on(api: Api, items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    before = texts(items())
    furnished(api, "acme")
    tenant = suspended(api, "acme")
    write, left = aws.dynamodb().batch_write_item, 1

    def cut_off(**arguments: Any) -> Any:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return write(**arguments)

    sizes = [len(items())]
    with monkeypatch.context() as patch:
        patch.setattr(aws.dynamodb(), "batch_write_item", cut_off)
        for _ in range(2):
            left = 1
            with pytest.raises(KeyboardInterrupt):
                delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
            sizes.append(len(items()))
            assert tenant_of("acme").status == "suspended", "the record goes last"
    assert sizes[0] - sizes[1] == sizes[1] - sizes[2] == 25
    delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    new = [item for item in items() if json.dumps(item, sort_keys=True) not in before]
    assert {item["pk"]["S"] for item in new} == {"TENANT#house#AUDIT"} or new == []


def test_kept_audit_keeps_the_id_taken(api: Api, items: Items) -> None:
    furnished(api, "acme")
    record = Put(keys.audit("01900000-0000-7000-8000-000000000000"), "{}")
    AllTenants().store_of("acme").write(record)
    tenant = suspended(api, "acme")
    for _ in range(2):
        delete_tenant.delete(AllTenants(), tenant, keep_audit=True)
        of_acme = {item["pk"]["S"] for item in items() if item["pk"]["S"].startswith("TENANT#acme#")}
        assert of_acme == {"TENANT#acme#AUDIT", "TENANT#acme#TENANT"}
    operator = api.as_(tenant="house", scopes="tenants:read tenants:write")
    assert operator.post("/tenants", {"id": "acme", "name": "Another"}).code == "tenant_exists"
    delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    assert operator.post("/tenants", {"id": "acme", "name": "Another"}).status == 201


def test_runs_that_go_on_are_stopped_and_what_they_write_is_removed_later(
    api: Api, items: Items, stopped: list[str]
) -> None:
    admin = furnished(api, "acme")
    admin.make("/agents", name="support", status="published")
    going = admin.post("/runs", {"agent_id": "support", "input_message": "hi"}, headers={"Prefer": "respond-async"})
    assert going.status == 202, going.text
    assert not run_records.Run.model_validate(going.json).ended
    tenant = suspended(api, "acme")
    with pytest.raises(Refused, match="1 runs were stopped"):
        delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    assert stopped == [going.json["id"]]
    assert [item["pk"]["S"] for item in items() if item["pk"]["S"].startswith("TENANT#acme#")] == ["TENANT#acme#TENANT"]
    delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    assert not [item for item in items() if item["pk"]["S"].startswith("TENANT#acme#")]


def test_active_tenants_are_refused(api: Api, travel: Travel) -> None:
    furnished(api, "acme")
    for wait in (True, False):
        with pytest.raises(Refused, match="suspend it first"):
            delete_tenant.check(tenant_of("acme"), wait=wait)
    tenant = suspended(api, "acme")
    with pytest.raises(Refused, match="may be under way"):
        delete_tenant.check(tenant, wait=True)
    delete_tenant.check(tenant, wait=False)
    travel(961)
    delete_tenant.check(tenant, wait=True)


def test_tenant_that_is_changed_meanwhile_keeps_its_record(api: Api) -> None:
    furnished(api, "acme")
    tenant = suspended(api, "acme")
    api.as_(tenant="house", scopes="tenants:write").patch("/tenants/acme", {"status": "active"})
    with pytest.raises(ConditionFailed):
        delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    assert tenant_of("acme").status == "active"


def test_table_that_takes_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    furnished(api, "acme")
    tenant = suspended(api, "acme")
    write, refusals = aws.dynamodb().batch_write_item, 2

    def busy(**arguments: Any) -> Any:
        nonlocal refusals
        if refusals:
            refusals -= 1
            return {"UnprocessedItems": arguments["RequestItems"]}
        return write(**arguments)

    monkeypatch.setattr(aws.dynamodb(), "batch_write_item", busy)
    delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    furnished(api, "acme")
    refusals = 1_000
    with pytest.raises(TableBusy):
        delete_tenant.delete(AllTenants(), suspended(api, "acme"), keep_audit=False)


def test_gateway_that_is_away_leaves_the_record(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    furnished(api, "acme")
    tenant = suspended(api, "acme")

    def away(tenant_id: str) -> bool:
        raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "DeleteUsagePlan")

    monkeypatch.setattr(gateway, "drop_plan", away)
    with pytest.raises(ClientError):
        delete_tenant.delete(AllTenants(), tenant, keep_audit=False)
    assert tenant_of("acme") == tenant


def test_its_uploads_go_and_nobody_elses(api: Api, travel: Travel, stopped: list[str]) -> None:
    for tenant_id in ("acme", "acme2"):
        admin = furnished(api, tenant_id)
        admin.make("/agents", name="code", kind="code")
        uploads.built(admin, "code", tarballs.agent())
    operator = api.as_(tenant="house", scopes="tenants:read tenants:write")
    assert operator.patch("/tenants/acme", {"status": "suspended"}).status == 200
    removed = delete_tenant.delete(AllTenants(), tenant_of("acme"), keep_audit=False)
    assert removed["uploads, builds"] == 2
    found = aws.s3().list_objects_v2(Bucket=objects.bucket())["Contents"]
    left = {one["Key"].split("/")[1] for one in found}
    assert "acme" not in left
    assert "acme2" in left
