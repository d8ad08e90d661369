"""What of the emulator's state is written, and when."""

import json
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from local.emulator_child import Snapshots

DEPLOYED = ("apigateway_v1", "cloudformation", "iam")


class _Emulator:
    """An emulator whose services count how often each was asked for its state."""

    def __init__(self) -> None:
        self.asked = dict.fromkeys((*DEPLOYED, "dynamodb"), 0)
        self.at_work = False

    def _build_persistence_save_dict(self) -> dict[str, Callable[[], Any]]:
        return {service: partial(self._state, service) for service in self.asked}

    def _state(self, service: str) -> dict[str, int]:
        if self.at_work:
            raise RuntimeError("dictionary changed size during iteration")
        self.asked[service] += 1
        return {"asked": self.asked[service]}


@pytest.fixture
def emulator() -> _Emulator:
    return _Emulator()


@pytest.fixture
def snapshots(emulator: _Emulator, tmp_path: Path) -> Snapshots:
    return Snapshots(emulator, tmp_path / "state", 1.0)


def _saved(folder: Path) -> dict[str, int]:
    return {file.stem: json.loads(file.read_text())["payload"]["asked"] for file in (folder / "state").iterdir()}


def _request(snapshots: Snapshots, method: str, headers: list[tuple[bytes, bytes]]) -> None:
    async def application(_scope: Any, _receive: Any, _send: Any) -> None:
        pass

    async def nothing(*_: Any) -> None:
        pass

    work = snapshots.watch(application)({"type": "http", "method": method, "headers": headers}, nothing, nothing)
    with pytest.raises(StopIteration):
        cast(Coroutine[Any, Any, None], work).send(None)


def test_nothing_is_written_before_the_last_state_is_read(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.save()
    assert not (tmp_path / "state").exists()


def test_what_a_deployment_made_is_written_when_it_may_have_changed(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.notice(True)
    snapshots.save()
    assert _saved(tmp_path) == dict.fromkeys((*DEPLOYED, "dynamodb"), 1)

    snapshots.notice(True)
    _request(snapshots, "GET", [])
    _request(snapshots, "POST", [(b"X-Amz-Target", b"secretsmanager.GetSecretValue")])
    snapshots.save()
    assert _saved(tmp_path) == dict.fromkeys(DEPLOYED, 1) | {"dynamodb": 2}

    _request(snapshots, "POST", [])
    snapshots.save()
    assert _saved(tmp_path) == dict.fromkeys(DEPLOYED, 2) | {"dynamodb": 3}


def test_what_could_not_be_copied_is_tried_again(snapshots: Snapshots, emulator: _Emulator, tmp_path: Path) -> None:
    emulator.at_work = True
    snapshots.notice(True)
    snapshots.save()
    emulator.at_work = False
    snapshots.save()
    assert _saved(tmp_path) == dict.fromkeys((*DEPLOYED, "dynamodb"), 1)
