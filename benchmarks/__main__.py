"""`make bench`: measure everything, then write docs/performance.md. BENCH_QUICK=1: less, without the peers."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
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
    scale,
    starts,
    streams,
    stub,
    warm,
)
from benchmarks.peers import measuring as peers
from benchmarks.platform import running

Progress = Callable[[str], None]
_VERSIONS = ("ministack", "aws-lambda-powertools", "openai", "boto3")


def _parts(progress: Progress) -> Iterator[tuple[str, Any]]:
    """Each part by its name in the results, as it is measured."""
    yield "versions", {name: version(name) for name in _VERSIONS}
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
        task = bar.add_task("start", total=steps + (0 if part.QUICK else peers.steps()))
        for name, found in _parts(lambda doing: bar.update(task, advance=1, description=doing)):
            page.keep(name, found)
    # Both are worked out from what functions do.
    costs.DOCUMENT.write_text(costs_page.page())
    scale.DOCUMENT.write_text(scale.page())
    print(page.text())


if __name__ == "__main__":
    main()
