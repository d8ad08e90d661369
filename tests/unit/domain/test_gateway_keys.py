"""Gateway keys: one for each tenant, in the plan that its record asks for, however often the stream says so."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.clients import aws
from shared.clients.gateway import Wall
from shared.domain import tenants
from shared.domain.gateway_keys import wall_for
from shared.domain.tenants import Tenant, TenantLimits
from shared.store.table import TenantStore
from tests.unit.support.gateway import ROOT, Api, load
from tests.unit.support.keys import authorize
from tests.unit.support.usage_plans import ControlPlane

pytestmark = pytest.mark.covers("POST /tenants", "PATCH /tenants/{tenant_id}")

TIERS = {"free": (10.0, 20), "standard": (100.0, 200), "unlimited": (2_000.0, 4_000)}


class Queue:
    """The queue of what could not be done."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send_message(self, QueueUrl: str, MessageBody: str) -> None:  # noqa: N803 - boto3's words
        self.messages.append(json.loads(MessageBody))


@pytest.fixture
def plane(table: str, setting: Callable[[str, str | None], None], monkeypatch: pytest.MonkeyPatch) -> ControlPlane:
    found = ControlPlane()
    for tier, (rate, burst) in TIERS.items():
        throttle = {"rateLimit": rate, "burstLimit": burst}
        setting(f"PLAN_{tier.upper()}", found._create_usage_plan(tier, throttle, [])["id"])
    setting("GATEWAY_NAME", "stack")
    setting("GATEWAY_STAGE", "api:live")
    setting("GATEWAY_KEY", "the-shared-key-of-the-gateway")
    setting("PROVISION_DEAD_LETTERS", "https://queue.example")
    monkeypatch.setattr(aws, "apigateway", lambda: found)
    return found


@pytest.fixture
def queue(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Queue:
    found = Queue()
    monkeypatch.setattr(aws, "sqs", lambda: found)
    return found


@pytest.fixture
def operator(api: Api) -> Api:
    return api.as_(tenant="house", scopes="tenants:read tenants:write")


def changed(*places: tuple[str, str]) -> dict[str, Any]:
    """An event of the table's stream."""
    return {
        "Records": [
            {"eventName": "MODIFY", "dynamodb": {"Keys": {"pk": {"S": partition}, "sk": {"S": sort}}}}
            for partition, sort in places
        ]
    }


def follow(*tenant_ids: str) -> None:
    load("tenants/provision").handler(changed(*((f"TENANT#{tenant}#TENANT", "TENANT") for tenant in tenant_ids)), None)


def test_a_new_tenant_gets_a_key_in_the_plan_of_its_tier(operator: Api, plane: ControlPlane, queue: Queue) -> None:
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
    assert queue.messages == []


def test_the_worker_succeeds_with_its_event(operator: Api, plane: ControlPlane, queue: Queue) -> None:
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


def test_a_plan_that_could_not_be_dropped_is_dropped_by_the_next_try(
    operator: Api, plane: ControlPlane, queue: Queue
) -> None:
    operator.make("/tenants", id="acme", name="Acme", burst=7)
    follow("acme")
    operator.patch("/tenants/acme", {"burst": None})
    for operation in ("update_usage_plan", "delete_usage_plan"):
        plane.fails = {operation: "TooManyRequestsException"}
        follow("acme")
    plane.fails.clear()
    follow("acme")
    assert sorted(plan["name"] for plan in plane.plans.values()) == ["free", "standard", "unlimited"]
    assert plane.plan_of("stack:tenant:acme") == "standard"


def test_without_room_for_another_plan_the_tiers_plan_must_do(operator: Api, plane: ControlPlane, queue: Queue) -> None:
    plane.fails["create_usage_plan"] = "LimitExceededException"
    operator.make("/tenants", id="acme", name="Acme", burst=7)
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "standard"
    assert queue.messages == []


@pytest.mark.parametrize("operation", ["get_api_keys", "create_api_key", "get_usage_plans", "create_usage_plan_key"])
def test_one_tenants_trouble_is_parked_and_the_next_one_served(
    operator: Api, plane: ControlPlane, queue: Queue, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    for tenant in ("acme", "globex"):
        operator.make("/tenants", id=tenant, name=tenant)
    plane.fails[operation] = "TooManyRequestsException"
    follow("acme")
    plane.fails.clear()
    follow("globex")
    (message,) = queue.messages
    assert message["record"]["dynamodb"]["Keys"]["pk"]["S"] == "TENANT#acme#TENANT"
    assert "TooManyRequestsException" in message["reason"]
    assert plane.plan_of("stack:tenant:globex") == "standard"
    follow("acme")
    assert plane.plan_of("stack:tenant:acme") == "standard", "found what the first try made"
    assert len(plane.keys) == 2


def test_names_that_begin_alike_are_told_apart(operator: Api, plane: ControlPlane) -> None:
    for tenant in ("acme-2", "acme"):
        operator.make("/tenants", id=tenant, name=tenant)
        follow(tenant)
    assert sorted(key["name"] for key in plane.keys.values()) == ["stack:tenant:acme", "stack:tenant:acme-2"]


@pytest.mark.parametrize(
    "place",
    [
        ("TENANT#acme#AGENT_NAME", "TENANT"),
        ("TENANT#acme#TENANT", "OTHER"),
        ("TENANT#nobody#TENANT", "TENANT"),
        ("TENANT#_operator#TENANT", "TENANT"),
        ("KEY#TENANT", "TENANT"),
    ],
)
def test_what_is_no_tenants_record_is_passed_over(
    operator: Api, plane: ControlPlane, queue: Queue, place: tuple[str, str]
) -> None:
    operator.make("/tenants", id="acme", name="Acme")
    load("tenants/provision").handler(changed(place), None)
    assert (plane.asked, queue.messages) == ([], [])


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
