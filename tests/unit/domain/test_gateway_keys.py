"""Gateway keys: one for each tenant, in the plan that its record asks for, however often the stream says so."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.clients import aws
from shared.clients.gateway import Wall
from shared.domain import tenants
from shared.domain.gateway_keys import wall_for
from shared.domain.tenants import Tenant, TenantLimits
from shared.store.table import TenantStore
from tests.unit.support.gateway import ROOT, Api, load
from tests.unit.support.keys import authorize
from tests.unit.support.table_stream import TableStream
from tests.unit.support.usage_plans import ControlPlane

pytestmark = pytest.mark.covers("POST /tenants", "PATCH /tenants/{tenant_id}")

TIERS = {"free": (10.0, 20), "standard": (100.0, 200), "unlimited": (2_000.0, 4_000)}


@pytest.fixture
def plane(table: str, setting: Callable[[str, str | None], None], monkeypatch: pytest.MonkeyPatch) -> ControlPlane:
    found = ControlPlane()
    for tier, (rate, burst) in TIERS.items():
        throttle = {"rateLimit": rate, "burstLimit": burst}
        setting(f"PLAN_{tier.upper()}", found._create_usage_plan(tier, throttle, [])["id"])
    setting("GATEWAY_NAME", "stack")
    setting("GATEWAY_STAGE", "api:live")
    setting("GATEWAY_KEY", "the-shared-key-of-the-gateway")
    monkeypatch.setattr(aws, "apigateway", lambda: found)
    return found


@pytest.fixture
def operator(api: Api) -> Api:
    return api.as_(tenant="house", scopes="tenants:read tenants:write")


def follow(*tenant_ids: str) -> None:
    messages = [{"body": json.dumps({"tenant_id": tenant})} for tenant in tenant_ids]
    load("tenants/provision").handler({"Records": messages}, None)


def wishes(stream: TableStream) -> list[str]:
    """The tenants that the reader of the stream asked keys for, once for all that was written."""
    stream.messages.clear()
    stream.deliver()
    assert {queue for queue, _, _ in stream.messages} <= {"PROVISION_QUEUE"}
    return [message["tenant_id"] for _, message, _ in stream.messages]


def test_a_change_of_a_tenant_asks_for_its_key_in_order_and_once(operator: Api, stream: TableStream) -> None:
    operator.make("/tenants", id="acme", name="Acme")
    operator.patch("/tenants/acme", {"plan": "free"})
    operator.as_(scopes="admin").make("/agents", name="of nobody's concern")
    stream.deliver(times=2)
    orders = [order for _, _, order in stream.messages]
    assert {order["group"] for order in orders} == {"acme"}
    assert orders[:2] == orders[2:], "the same word: the queue drops what is given again"
    assert len({order["once"] for order in orders}) == 2


def test_what_provisioning_notes_asks_for_nothing(operator: Api, plane: ControlPlane, stream: TableStream) -> None:
    operator.make("/tenants", id="acme", name="Acme")
    assert wishes(stream) == ["acme"]
    stream.records.clear()
    follow("acme")
    assert [record["dynamodb"]["Keys"]["sk"]["S"] for record in stream.wanted()] == ["TENANT"]
    assert wishes(stream) == []


@pytest.mark.parametrize(
    "place", [("TENANT#acme#AGENT_NAME", "TENANT"), ("TENANT#acme#TENANT", "OTHER"), ("KEY#TENANT", "TENANT")]
)
def test_what_is_no_tenants_record_asks_for_nothing(stream: TableStream, place: tuple[str, str]) -> None:
    keys = {"pk": {"S": place[0]}, "sk": {"S": place[1]}}
    image = keys | {"doc": {"S": "{}"}, "version": {"N": "1"}}
    stream.deliver([{"eventName": "INSERT", "dynamodb": {"Keys": keys, "NewImage": image, "SequenceNumber": "1"}}])
    assert stream.messages == []


def test_a_tenant_whose_stamp_cannot_be_read_still_gets_its_key(stream: TableStream, parked: list[Any]) -> None:
    keys = {"pk": {"S": "TENANT#acme#TENANT"}, "sk": {"S": "TENANT"}}
    image = keys | {"doc": {"S": "{}"}, "version": {"N": "1"}, "by": {"S": "{"}}
    stream.deliver([{"eventName": "INSERT", "dynamodb": {"Keys": keys, "NewImage": image, "SequenceNumber": "1"}}])
    assert (len(stream.messages), len(parked)) == (1, 1)


def test_a_new_tenant_gets_a_key_in_the_plan_of_its_tier(operator: Api, plane: ControlPlane) -> None:
    key = operator.make("/tenants", id="acme", name="Acme", plan="standard")["admin_key"]
    answer = authorize(key)
    assert answer is not None
    assert answer["usageIdentifierKey"] == "the-shared-key-of-the-gateway", "until it has one of its own"
    follow("acme")
    tenants._remembered.clear()
    answer = authorize(key)
    assert answer is not None
    assert answer["usageIdentifierKey"] == "value-of-key-number-0001"
    assert plane.plan_of("stack:tenant:acme") == "standard"


def test_the_worker_succeeds_with_its_event(operator: Api, plane: ControlPlane) -> None:
    operator.make("/tenants", id="globex", name="Globex")
    load("tenants/provision").handler(json.loads((ROOT / "events/tenants/provision.json").read_text()), None)
    assert plane.plan_of("stack:tenant:globex") == "standard"


def test_a_repeated_message_asks_for_nothing(operator: Api, plane: ControlPlane) -> None:
    operator.make("/tenants", id="acme", name="Acme")
    follow("acme")
    plane.asked.clear()
    follow("acme", "acme")
    operator.patch("/tenants/acme", {"name": "A new name"})
    follow("acme")
    assert plane.asked == []


def test_another_tier_moves_the_key(operator: Api, plane: ControlPlane) -> None:
    operator.make("/tenants", id="acme", name="Acme", plan="free")
    follow("acme")
    operator.patch("/tenants/acme", {"plan": "unlimited"})
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "unlimited"
    assert len(plane.keys) == 1


def test_limits_of_its_own_give_a_tenant_a_plan_of_its_own(operator: Api, plane: ControlPlane) -> None:
    operator.make("/tenants", id="acme", name="Acme", limits={"requests": ["6/minute"]}, burst=7)
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "stack:tenant:acme"
    own = plane.plans[plane.members["k1"]]
    assert own["throttle"] == {"rateLimit": 1.0, "burstLimit": 7}
    assert own["apiStages"] == [{"apiId": "api", "stage": "live"}]
    operator.patch("/tenants/acme", {"burst": 9})
    follow("acme")
    assert own["throttle"] == {"rateLimit": 1.0, "burstLimit": 9}
    operator.patch("/tenants/acme", {"burst": None, "limits": {}})
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "standard"
    assert "stack:tenant:acme" not in [plan["name"] for plan in plane.plans.values()], "it leaves none behind"


def test_a_plan_that_could_not_be_dropped_is_dropped_by_the_next_try(operator: Api, plane: ControlPlane) -> None:
    operator.make("/tenants", id="acme", name="Acme", burst=7)
    follow("acme")
    operator.patch("/tenants/acme", {"burst": None})
    for operation in ("update_usage_plan", "delete_usage_plan"):
        plane.fails = {operation: "TooManyRequestsException"}
        with pytest.raises(ClientError, match="TooManyRequestsException"):
            follow("acme")
    plane.fails.clear()
    follow("acme")
    assert sorted(plan["name"] for plan in plane.plans.values()) == ["free", "standard", "unlimited"]
    assert plane.plan_of("stack:tenant:acme") == "standard"


def test_without_room_for_another_plan_the_tiers_plan_must_do(operator: Api, plane: ControlPlane) -> None:
    plane.fails["create_usage_plan"] = "LimitExceededException"
    operator.make("/tenants", id="acme", name="Acme", burst=7)
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "standard"


@pytest.mark.parametrize("operation", ["get_api_keys", "create_api_key", "get_usage_plans", "create_usage_plan_key"])
def test_what_fails_comes_again_and_finds_what_the_first_try_made(
    operator: Api, plane: ControlPlane, operation: str
) -> None:
    operator.make("/tenants", id="acme", name="Acme")
    plane.fails[operation] = "TooManyRequestsException"
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        follow("acme")
    plane.fails.clear()
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "standard"
    assert len(plane.keys) == 1


def test_names_that_begin_alike_are_told_apart(operator: Api, plane: ControlPlane) -> None:
    for tenant in ("acme-2", "acme"):
        operator.make("/tenants", id=tenant, name=tenant)
        follow(tenant)
    assert sorted(key["name"] for key in plane.keys.values()) == ["stack:tenant:acme", "stack:tenant:acme-2"]


@pytest.mark.parametrize("tenant", ["nobody", "_operator"])
def test_a_tenant_without_a_key_of_its_own_is_passed_over(operator: Api, plane: ControlPlane, tenant: str) -> None:
    follow(tenant)
    assert plane.asked == []


@pytest.mark.parametrize(
    ("requests", "burst", "wall"),
    [
        (["10/minute"], None, Wall(10 * 10 / 60, 100)),
        (["10/hour"], None, Wall(1.0, 100)),
        (["1/day"], None, Wall(1.0, 20)),
        (["1000/second"], None, Wall(100.0, 200)),
        (["10/minute", "20/day"], None, Wall(1.0, 100)),
        ([], 5_000, Wall(100.0, 5_000)),
        (None, None, Wall(100.0, 200)),
    ],
)
def test_the_wall_stands_outside_the_limits(requests: list[str] | None, burst: int | None, wall: Wall) -> None:
    tenant = Tenant(
        id="x",
        name="x",
        status="active",
        plan="standard",
        limits=TenantLimits(requests=requests),
        burst=burst,
        created_at="",
        updated_at="",
        version=1,
    )
    assert wall_for(tenant, Wall(100.0, 200)) == wall


def test_a_change_in_between_is_not_lost(operator: Api, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.make("/tenants", id="acme", name="Acme", plan="free")
    write = TenantStore.write

    def changes_first(store: TenantStore, *writes: Any) -> None:
        monkeypatch.setattr(TenantStore, "write", write)
        operator.patch("/tenants/acme", {"plan": "unlimited"})
        write(store, *writes)

    monkeypatch.setattr(TenantStore, "write", changes_first)
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "free"
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "unlimited"
