"""`make bench`: measure everything, then write docs/performance.md.

BENCH_QUICK=1 measures less, without the peers, into .bench/: what is committed stays as it is.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import (
    cold_start,
    costs,
    costs_page,
    endurance,
    growth,
    latency,
    packages,
    page,
    part,
    results,
    scale,
    starts,
    streams,
    stub,
    warm,
)
from benchmarks.peers import measuring as peers
from benchmarks.platform import running

Progress = Callable[[str], None]
_TOOK = "took_seconds"


def _parts(progress: Progress) -> Iterator[tuple[str, Any]]:
    """Each part by its name in the results, as it is measured."""
    yield "start", starts.measure(progress)
    with stub.running() as model:
        with running(model) as platform:
            yield "latency", latency.measure(platform, model, progress)
            yield "streams", streams.measure(platform, model, progress)
        if not part.QUICK:
            yield "peers", peers.measure(model, progress)
        with running(model) as platform:
            yield "endurance", endurance.measure(platform, model, progress)
    progress("packages")
    yield "packages", packages.measure()
    yield "cold_start", cold_start.measure(progress)
    if warm.steps():
        yield "warm", warm.measure(progress)
    yield "growth", growth.measure(progress)


def main() -> None:
    steps = sum(one.steps() for one in (starts, latency, streams, endurance, cold_start, warm, growth)) + 1
    with part.bar() as bar:
        bar.console.print(_announced(results.read().get(_TOOK, {})))
        task = bar.add_task("start", total=steps + (0 if part.QUICK else peers.steps()))
        took: dict[str, int] = {}
        begun = time.monotonic()
        for name, found in _parts(lambda doing: bar.update(task, advance=1, description=doing)):
            took[name], begun = round(time.monotonic() - begun), time.monotonic()
            bar.console.print(f"{name}: {took[name]} s")
            page.keep(name, found)
    results.write(results.read() | {_TOOK: took})
    if not part.QUICK:
        # Both are worked out from what functions do.
        costs.DOCUMENT.write_text(costs_page.page())
        scale.DOCUMENT.write_text(scale.page())
    print(page.text())


def _announced(took: Mapping[str, int]) -> str:
    """What is to be waited for."""
    if not took:
        return "How long this takes was not measured yet."
    parts = ", ".join(f"{name} {seconds} s" for name, seconds in took.items() if seconds)
    return f"About {math.ceil(sum(took.values()) / 60)} minutes, as it took last: {parts}."


if __name__ == "__main__":
    main()
