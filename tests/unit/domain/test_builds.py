"""Builds: what is harmless becomes a bundle, what is not says why, and each is built once."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.clients import objects
from shared.domain import archives, builds, bundles, code_versions, wheels
from shared.store.table import TenantStore
from tests.unit.domain.test_archives import HOSTILE
from tests.unit.support import tarballs, uploads
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api

Setting = Callable[[str, str | None], None]
CODE = tarballs.agent()


@pytest.fixture
def agent(api: Api) -> str:
    return str(api.make("/agents", name="parrot", kind="code")["id"])


def tree(version: uploads.Json, folder: Path) -> dict[str, bytes]:
    archives.unpack(io.BytesIO(uploads.bundle(version)), folder, bundles.CAPS)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_good_archive_is_ready(api: Api, agent: str, tmp_path: Path) -> None:
    manifest = b"name: parrot\nentrypoint: agent.main:handle\ntimeout_seconds: 5\nmemory: 256\n"
    version = uploads.built(api, agent, tarballs.agent(manifest=manifest))
    assert version["status"] == "ready"
    assert (version["entrypoint"], version["timeout_seconds"], version["memory"]) == ("agent.main:handle", 5, 256)
    assert version["config"] == manifest.decode()
    assert "The archive holds 3 files" in version["build_log"]
    assert version["build_log"].endswith("INFO Build of v1 ended: ready.")
    files = {"anymind.yaml": manifest, "agent/__init__.py": b"", "agent/main.py": tarballs.SOURCE}
    assert tree(version, tmp_path) == files
    found = api.get(f"/agents/{agent}").json
    assert (found["status"], found["current_version"], found["current_version_id"]) == ("ready", 1, version["id"])


def test_one_archive_makes_one_bundle(api: Api, agent: str) -> None:
    assert uploads.bundle(uploads.built(api, agent, CODE)) == uploads.bundle(uploads.built(api, agent, CODE))


def test_wheels_are_unpacked_beside_the_code(api: Api, agent: str, tmp_path: Path) -> None:
    idna = tarballs.wheel({"idna/__init__.py": b"x = 1", "idna-3.7.dist-info/METADATA": b"Name: idna"})
    files = {"anymind.yaml": tarballs.MANIFEST + b"requirements: [idna==3.7]\n", "agent/main.py": tarballs.SOURCE}
    version = uploads.built(api, agent, tarballs.of_files(files | {"wheels/idna-3.7-py3-none-any.whl": idna}))
    assert version["status"] == "ready", version["build_log"]
    assert "Unpacked idna-3.7-py3-none-any.whl." in version["build_log"]
    assert set(tree(version, tmp_path)) == {
        *files,
        ".packages/idna/__init__.py",
        ".packages/idna-3.7.dist-info/METADATA",
    }


SOURCES = {"agent/main.py": tarballs.SOURCE}
FAILING: dict[str, tuple[dict[str, bytes], str]] = {
    "no manifest": (SOURCES, "no_manifest"),
    "its folder packed with it": ({"parrot/anymind.yaml": tarballs.MANIFEST, **SOURCES}, "pack what is in its folder"),
    "a manifest that is wrong": ({"anymind.yaml": b"name: x\n", **SOURCES}, "bad_manifest: anymind.yaml: entrypoint"),
    "a manifest that is too large": ({"anymind.yaml": b"#" * 16_385, **SOURCES}, "bad_manifest"),
    "no entrypoint": ({"anymind.yaml": tarballs.MANIFEST, "other.py": b""}, "no_entrypoint"),
    "an entrypoint that is no function": (
        {"anymind.yaml": tarballs.MANIFEST, "agent/main.py": b"handle = 1"},
        "not_callable",
    ),
    "no Python": ({"anymind.yaml": tarballs.MANIFEST, "agent/main.py": b"def"}, "bad_source: agent/main.py, line 1"),
    "a requirement without a wheel": (
        {"anymind.yaml": tarballs.MANIFEST + b"requirements: [requests]\n", **SOURCES},
        "missing_wheel: requests has no wheel",
    ),
    "a source package": (
        {"anymind.yaml": tarballs.MANIFEST, "wheels/x-1.0.tar.gz": b"", **SOURCES},
        "not_a_wheel",
    ),
    "a wheel that climbs": (
        {"anymind.yaml": tarballs.MANIFEST, "wheels/x-1-py3-none-any.whl": tarballs.wheel({"../x": b""}), **SOURCES},
        "refused. traversal",
    ),
    "the platform's own folder": (
        {"anymind.yaml": tarballs.MANIFEST, ".packages/x.py": b"", **SOURCES},
        "reserved_name",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_cannot_be_built_says_why(api: Api, agent: str, name: str) -> None:
    files, said = FAILING[name]
    version = uploads.built(api, agent, tarballs.of_files(files))
    assert version["status"] == "failed"
    assert said in version["build_log"]
    assert version["build_log"].endswith("ERROR Build of v1 ended: failed.")
    assert not uploads.has_bundle(version)
    found = api.get(f"/agents/{agent}").json
    assert (found["status"], found["current_version"]) == ("failed", None)


@pytest.mark.parametrize("name", [name for name in HOSTILE if HOSTILE[name][0]().startswith(b"\x1f\x8b")])
def test_what_is_hostile_is_refused_by_its_reason(api: Api, agent: str, name: str, setting: Setting) -> None:
    make, reason = HOSTILE[name]
    # As the archives' own tests have it. A file's size and the depth are no settings: these are refused further in.
    setting("UPLOAD_MAX_MEMBERS", "50")
    setting("UPLOAD_MAX_EXPANDED", "4000000")
    version = uploads.built(api, agent, make())
    assert version["status"] == "failed"
    if reason not in {"file_too_large", "too_deep"}:
        assert f"ERROR The archive is refused. {reason}: " in version["build_log"]
    assert not uploads.has_bundle(version)


def test_another_message_builds_nothing_again(api: Api, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version = uploads.built(api, agent, CODE)
    monkeypatch.setattr(objects, "fetch", lambda *_: pytest.fail("it was built already"))
    # Whoever still has the form puts something else there: what runs is the bundle.
    uploads.arrives(f"uploads/tenant_a/{version['tarball_path']}", b"something else")
    assert api.get(f"/agents/{agent}/versions/v1").json == version


def test_a_file_that_was_not_announced_is_refused(api: Api, agent: str) -> None:
    made = api.post(f"/uploads/agent/{agent}", uploads.announced(CODE)).json
    uploads.arrives(made["upload"]["fields"]["key"], tarballs.agent(b"def handle(payload): return 'evil'"))
    version = api.get(f"/agents/{agent}/versions/v1").json
    assert version["status"] == "failed"
    assert "wrong_sha256" in version["build_log"]


def test_a_file_that_is_too_large_is_not_read(api: Api, agent: str, setting: Setting) -> None:
    made = api.post(f"/uploads/agent/{agent}", uploads.announced(CODE)).json
    setting("UPLOAD_MAX_SIZE", str(len(CODE) - 1))
    uploads.arrives(made["upload"]["fields"]["key"], CODE)
    assert "upload_too_large" in api.get(f"/agents/{agent}/versions/v1").json["build_log"]


def test_a_build_that_crashed_is_begun_again_but_not_for_ever(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, travel: Callable[[float], None]
) -> None:
    version = uploads.send(api, agent, CODE).json
    key, crashes = f"uploads/tenant_a/{version['tarball_path']}", []

    def crash(*_: Any) -> None:
        crashes.append(1)
        raise OSError("no space left")

    monkeypatch.setattr(objects, "fetch", crash)
    for number in (1, 2):
        with pytest.raises(OSError, match="no space"):
            uploads.arrives(key)
        assert api.get(f"/agents/{agent}/versions/v1").json["status"] == "building"
        uploads.arrives(key)
        assert len(crashes) == number, "the one that crashed may still be at work"
        travel(code_versions.BUILD_SECONDS + 1)
    uploads.arrives(key)
    version = api.get(f"/agents/{agent}/versions/v1").json
    assert (version["status"], len(crashes)) == ("failed", 2)
    assert "broke_off" in version["build_log"]


def test_a_build_goes_on_after_a_crash(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, travel: Callable[[float], None]
) -> None:
    version = uploads.send(api, agent, CODE).json
    key = f"uploads/tenant_a/{version['tarball_path']}"
    with monkeypatch.context() as patch:
        patch.setattr(objects, "put", lambda *_: (_ for _ in ()).throw(OSError("S3 is away")))
        with pytest.raises(OSError, match="S3 is away"):
            uploads.arrives(key)
    travel(code_versions.BUILD_SECONDS + 1)
    uploads.arrives(key)
    assert api.get(f"/agents/{agent}/versions/v1").json["status"] == "ready"


def test_a_build_that_lost_its_place_ends_nothing(api: Api, agent: str, travel: Callable[[float], None]) -> None:
    uploads.send(api, agent, CODE)
    store = TenantStore("tenant_a")
    slow = code_versions.claim(store, agent, 1)
    assert slow is not None
    assert code_versions.claim(store, agent, 1) is None
    travel(code_versions.BUILD_SECONDS + 1)
    builds.build(store, agent, 1)
    with pytest.raises(Exception, match="condition failed"):
        code_versions.finish(store, slow.model_copy(update={"status": "failed"}), [])
    assert api.get(f"/agents/{agent}/versions/v1").json["status"] == "ready"


def test_two_messages_at_once_build_once(api: Api, agent: str, faults: Faults) -> None:
    version = uploads.send(api, agent, CODE).json
    key = f"uploads/tenant_a/{version['tarball_path']}"
    faults.at(0, "before", lambda: uploads.arrives(key))
    uploads.arrives(key)
    assert api.get(f"/agents/{agent}/versions/v1").json["status"] == "ready"
    assert len([one for one in api.get(f"/logs/{agent}").json if "began" in one["message"]]) == 1


def test_an_agent_that_is_gone_stays_gone(api: Api, agent: str) -> None:
    version = uploads.send(api, agent, CODE).json
    api.delete(f"/agents/{agent}")
    uploads.arrives(f"uploads/tenant_a/{version['tarball_path']}")
    assert api.get(f"/agents/{agent}").status == 404
    assert not uploads.has_bundle(version)


def test_an_archived_agent_stays_archived(api: Api, agent: str) -> None:
    version = uploads.send(api, agent, CODE).json
    api.patch(f"/agents/{agent}", {"status": "archived"})
    uploads.arrives(f"uploads/tenant_a/{version['tarball_path']}")
    found = api.get(f"/agents/{agent}").json
    assert (found["status"], found["current_version"]) == ("archived", 1)
    assert api.patch(f"/agents/{agent}", {"status": "draft"}).json["status"] == "ready"


def test_a_failed_build_leaves_the_ready_version(api: Api, agent: str) -> None:
    first = uploads.built(api, agent, CODE)
    uploads.built(api, agent, tarballs.of_files(SOURCES))
    found = api.get(f"/agents/{agent}").json
    assert (found["status"], found["current_version"], found["current_version_id"]) == ("failed", 1, first["id"])


def test_only_ready_versions_are_gone_back_to(api: Api, agent: str) -> None:
    uploads.built(api, agent, CODE)
    uploads.built(api, agent, CODE)
    uploads.built(api, agent, tarballs.of_files(SOURCES))
    assert api.post(f"/agents/{agent}/versions/v3/activate").code == "version_not_ready"
    back = api.post(f"/agents/{agent}/versions/v1/activate").json
    assert (back["status"], back["current_version"]) == ("ready", 1)
    assert api.post(f"/agents/{agent}/deploy", {"version": 3}).code == "version_not_ready"
    assert api.post(f"/agents/{agent}/deploy", {"version": 2}).json["live_version"] == 2


def test_messages_about_anything_else_are_passed_over(api: Api, agent: str) -> None:
    builds.answer({"body": '{"Service": "Amazon S3", "Event": "s3:TestEvent"}'})
    for key in (
        "uploads/x",
        "builds/tenant_a/x",
        f"uploads/tenant_a/agents/{agent}/artifacts/v9.tar.gz",
        "uploads/../x",
    ):
        uploads.arrives(key)


def test_the_limit_of_wheels_counts_all_of_them(api: Api, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "_WHEELS_EXPANDED_BYTES", 150)
    files = {"anymind.yaml": tarballs.MANIFEST, **SOURCES}
    files |= {f"wheels/{name}-1-py3-none-any.whl": tarballs.wheel({name: b"1" * 100}) for name in ("a", "b")}
    assert "wheel_too_large" in uploads.built(api, agent, tarballs.of_files(files))["build_log"]
    monkeypatch.setattr(wheels, "MAX_BYTES", 10)
    assert "wheel_too_large" in uploads.built(api, agent, tarballs.of_files(files))["build_log"]
