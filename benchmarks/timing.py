"""Times of an operation by a number of clients, and what rounds of them say."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round measured: the time of each request in ms, and of all together in seconds."""

    times_ms: list[float]
    seconds: float

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.times_ms)

    @property
    def per_second(self) -> float:
        return len(self.times_ms) / self.seconds


def sample(
    operation: Callable[[C], object],
    connect: Callable[[], C],
    close: Callable[[C], None],
    clients: int,
    count: int,
) -> Sample:
    """Let some clients, a thread each, do something over and over.

    Args:
        operation: does it once. If it returns a float, these are the ms that count; else all that it took.
        connect: makes a client, which does it once before the clock runs.
        count: by all clients together.

    Raises:
        RuntimeError, OSError: one failed; there is no result then.
    """
    times: list[float] = []
    failures: list[Exception] = []
    start = threading.Barrier(clients + 1)

    def work() -> None:
        client = connect()
        try:
            operation(client)
            start.wait()
            for _ in range(max(1, count // clients)):
                begun = time.perf_counter()
                counted = operation(client)
                times.append(counted if isinstance(counted, float) else (time.perf_counter() - begun) * 1_000)
        except (RuntimeError, OSError, threading.BrokenBarrierError) as error:
            failures.append(error)
            start.abort()
        finally:
            close(client)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        start.wait()
    except threading.BrokenBarrierError:
        raise failures[0] from None
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if failures:
        raise failures[0]
    return Sample(times, seconds)


def row(rounds: Sequence[Sample]) -> dict[str, Any]:
    """Percentiles over all requests, the median of the rounds' throughputs; a spread is the least and the most."""
    times = [one for found in rounds for one in found.times_ms]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    each, rates = [found.p50_ms for found in rounds], [found.per_second for found in rounds]
    return {
        "requests": len(times),
        "p50_ms": round(statistics.median(times), 2),
        "p50_spread": spread(each, 2),
        "p95_ms": round(cuts[94], 2),
        "p99_ms": round(cuts[98], 2),
        "per_second": round(statistics.median(rates), 1),
        "per_second_spread": spread(rates, 1),
    }


def ratio(rounds: Sequence[Sample], floor: Sequence[Sample]) -> dict[str, Any]:
    """How many times the floor's p50 of the same round: the median of the rounds, and the least and the most."""
    ratios = [one.p50_ms / below.p50_ms for one, below in zip(rounds, floor, strict=True)]
    return {"ratio": round(statistics.median(ratios), 2), "ratio_spread": spread(ratios, 2)}


def spread(values: Sequence[float], digits: int) -> list[float]:
    """The least and the most."""
    return [round(min(values), digits), round(max(values), digits)]
