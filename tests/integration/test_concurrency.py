"""Many at once: names stay unique, keys have one effect, tenants see nothing of each other."""

import itertools
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from local.runtime import Runtime

WORKERS = 32


def clients(platform: Runtime, key: str) -> httpx.Client:
    limits = httpx.Limits(max_connections=WORKERS)
    return httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=60, limits=limits)


def test_of_200_creates_of_one_name_exactly_one_succeeds(platform: Runtime) -> None:
    with clients(platform, "mine") as api, ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda _: api.post("/agents", json={"name": "the only one"}), range(200)))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 199}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"name_taken"}
        (made,) = [answer.json() for answer in answers if answer.status_code == 201]
        assert api.get("/agents/the only one").json() == made


def test_100_duplicates_with_one_idempotency_key_have_one_effect(platform: Runtime) -> None:
    headers = {"Idempotency-Key": "the same"}
    with clients(platform, "mine") as api, ThreadPoolExecutor(WORKERS) as pool:
        send = lambda _: api.post("/tools", json={"name": "made once"}, headers=headers)  # noqa: E731
        answers = list(pool.map(send, range(100)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"in_flight"}
        assert [tool["name"] for tool in api.get("/tools").json()].count("made once") == 1


def test_of_updates_on_one_version_exactly_one_succeeds(platform: Runtime) -> None:
    with clients(platform, "mine") as api, ThreadPoolExecutor(WORKERS) as pool:
        path = f"/agents/{api.post('/agents', json={'name': 'contested'}).json()['id']}"
        send = lambda n: api.patch(path, json={"role": f"r{n}"}, headers={"If-Match": "1"})  # noqa: E731
        answers = list(pool.map(send, range(40)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 39}
        assert api.get(path).json()["version"] == 2


def test_updates_without_a_version_are_all_applied(platform: Runtime) -> None:
    with clients(platform, "mine") as api, ThreadPoolExecutor(8) as pool:
        path = f"/agents/{api.post('/agents', json={'name': 'busy'}).json()['id']}"
        answers = list(pool.map(lambda n: api.patch(path, json={"role": f"r{n}"}), range(24)))
        done = sum(answer.status_code == 200 for answer in answers)
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert api.get(path).json()["version"] == 1 + done


def test_binds_and_unbinds_at_once_leave_agent_and_tools_agreed(platform: Runtime) -> None:
    with clients(platform, "mine") as api, ThreadPoolExecutor(16) as pool:
        tools = [api.post("/tools", json={"name": f"many {n}"}).json()["id"] for n in range(16)]
        agent = api.post("/agents", json={"name": "many tools"}).json()["id"]
        bound = list(pool.map(lambda tool: api.post(f"/agents/{agent}/tools/{tool}").status_code, tools))
        assert bound == [201] * 16
        gone = list(pool.map(lambda tool: api.delete(f"/agents/{agent}/tools/{tool}").status_code, tools[:8] * 2))
        assert Counter(gone) == {204: 8, 404: 8}
        assert {binding["tool_id"] for binding in api.get(f"/agents/{agent}/tools").json()} == set(tools[8:])
        assert api.delete(f"/tools/{tools[0]}").status_code == 204
        assert api.delete(f"/tools/{tools[8]}").status_code == 409


def test_32_threads_of_two_tenants_never_see_a_foreign_byte(platform: Runtime) -> None:
    """Everything that a tenant makes carries its mark; no answer may carry the other's."""
    number = itertools.count()
    marks = {"mine": "mark-of-b", "theirs": "mark-of-c"}
    owned: dict[str, list[str]] = {"mine": [], "theirs": []}
    texts: dict[str, list[str]] = {"mine": [], "theirs": []}
    with clients(platform, "mine") as b, clients(platform, "theirs") as c:
        apis = {"mine": b, "theirs": c}
        for tenant, api in apis.items():
            made = api.post("/agents", json={"name": f"{marks[tenant]} runner"})
            assert made.status_code == 201

        def work(seed: int) -> None:
            chance = random.Random(seed)
            tenant, other = chance.sample(sorted(apis), 2)
            api, mark = apis[tenant], marks[tenant]
            for _ in range(12):
                n = next(number)
                foreign = chance.choice(owned[other]) if owned[other] else "none"
                requests: list[tuple[str, str, Any]] = [
                    ("POST", "/agents", {"name": f"{mark} {n}", "description": mark, "tags": [mark]}),
                    ("POST", "/tools", {"name": f"{mark} {n}", "description": mark}),
                    ("GET", "/agents?limit=20", None),
                    ("GET", "/tools?limit=20", None),
                    ("GET", "/runs?limit=5", None),
                    ("GET", f"/agents/{foreign}", None),
                    ("PATCH", f"/agents/{foreign}", {"role": mark}),
                    ("DELETE", f"/agents/{foreign}", None),
                    ("POST", "/runs", {"agent_id": f"{mark} runner", "input_message": f"say {mark}"}),
                    ("POST", "/runs", {"agent_id": foreign, "input_message": f"say {mark}"}),
                ]
                method, path, body = chance.choice(requests)
                answer = api.request(method, path, json=body)
                assert answer.status_code < 500, answer.text
                if foreign in path or (body or {}).get("agent_id") == foreign:
                    assert answer.status_code == 404, (method, path)
                elif path == "/agents" and answer.status_code == 201:
                    owned[tenant].append(answer.json()["id"])
                texts[tenant].append(answer.text + str(answer.headers))

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        for tenant, api in apis.items():
            texts[tenant] += [api.get(path, params={"limit": 100}).text for path in ("/agents", "/tools", "/runs")]
    everything_b, everything_c = "".join(texts["mine"]), "".join(texts["theirs"])
    assert "mark-of-b" in everything_b
    assert "mark-of-c" in everything_c
    assert "mark-of-c" not in everything_b
    assert "tenant_theirs" not in everything_b
    assert "mark-of-b" not in everything_c
    assert "tenant_mine" not in everything_c
