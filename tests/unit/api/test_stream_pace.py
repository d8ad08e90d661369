"""How often a watcher looks at the log, on a clock of its own: only waiting takes time there, and each look 5 ms."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import scale
from shared.api import stream
from shared.domain import watching
from shared.domain.run_records import RunEvent
from shared.domain.watching import Place

# An event loop talks to itself through a pair of sockets.
pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

LOOK_SECONDS = 0.005


class Clockwork(asyncio.SelectorEventLoop):
    """A loop whose time passes when everybody waits, and then at once."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def skip(timeout: float | None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        selector.select = skip

    def time(self) -> float:
        return self.now


@dataclass
class Watched:
    """What a watcher did: when it looked at the log and whether the run is over, and when each event came out."""

    looks: list[float] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    frames: list[tuple[float, str]] = field(default_factory=list)

    def between(self, begin: float, end: float) -> int:
        """Looks that began in this time."""
        return sum(begin <= moment < end for moment in self.looks)


Watch = Callable[[dict[float, str]], Watched]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watches a run in whose log events, told by their moments, appear. The last one is its end."""

    def watch(script: dict[float, str]) -> Watched:
        seen = Watched()
        loop = Clockwork()
        log = [
            (at, RunEvent(id=n, event=name, data={}, created_at="")) for n, (at, name) in enumerate(script.items(), 1)
        ]

        def look(_store: Any, _run_id: str, place: Place) -> tuple[list[RunEvent], Place]:
            seen.looks.append(loop.now)
            found = [event for at, event in log if at <= loop.now and event.id > place.after]
            loop.now += LOOK_SECONDS
            return found, Place(found[-1].id, whole=True) if found else place

        def is_over(*_: Any) -> bool:
            seen.checks.append(loop.now)
            return False

        async def at_once(function: Callable[..., Any], *args: Any) -> Any:
            return function(*args)

        async def read() -> None:
            gone = asyncio.create_task(asyncio.Event().wait())
            async for text in stream._frames(None, gone, run_id="r", after=0, over=False):  # type: ignore[arg-type]
                seen.frames.append((loop.now, text))
            gone.cancel()

        monkeypatch.setattr(watching, "look", look)
        monkeypatch.setattr(watching, "is_over", is_over)
        monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=loop.time))
        monkeypatch.setattr(asyncio, "to_thread", at_once)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(read())
        return seen

    return watch


def test_text_that_comes_each_tenth_of_a_second_is_read_about_as_often(watch: Watch) -> None:
    text = {n / 10: "message.delta" for n in range(1, 200)}
    seen = watch({**text, 20.0: "result"})
    assert seen.between(0, 20) == scale.looks(20.0) == 195
    assert seen.checks == []
    delays = [moment - (n + 1) / 10 for n, (moment, _) in enumerate(seen.frames)]
    assert max(delays) < 0.11


@pytest.mark.parametrize(("first", "looks"), [(0.1, 3), (0.5, 15), (1.0, 27), (3.0, 48)])
def test_a_first_token_is_late_by_a_small_part_of_the_time_it_took(watch: Watch, first: float, looks: int) -> None:
    seen = watch({0.0: "start", first: "message.delta", first + 0.05: "result"})
    (_, (came, _), (ended, _)) = seen.frames
    assert came - first <= max(0.03, first * 0.05) + 2 * LOOK_SECONDS
    assert ended - (first + 0.05) <= 0.03 + 2 * LOOK_SECONDS
    assert seen.between(0, first) == looks


def test_silence_is_looked_at_ever_more_rarely(watch: Watch) -> None:
    seen = watch({0.0: "start", 120.0: "result"})
    assert [seen.between(begin, begin + 10) for begin in range(0, 60, 10)] == [73, 22, 22, 22, 21, 22]
    assert len(seen.checks) == 23


def test_a_long_log_is_read_without_a_pause(watch: Watch) -> None:
    seen = watch({n / 1_000_000: "message.delta" for n in range(100)} | {0.001: "result"})
    assert seen.frames[-1][0] < 0.05
