"""docs/scale.md, the load on every partition and service at internet scale: ``python -m benchmarks.scale [--check]``.

Nothing is measured here: what one run asks (`benchmarks/run_requests.py`, counted by tests) is multiplied by simulated
arrivals, which are the same at each start. The assumptions are the constants below.
"""

import math
import random
import sys
from bisect import bisect
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path

from benchmarks import costs, figures, run_requests
from benchmarks.run_requests import Names, Request, Sums, sums
from shared.domain import conversation, watching
from shared.domain.run_records import RunEvent
from tests import generated

DOCUMENT = Path(__file__).parent.parent / "docs/scale.md"
DAY = 86_400
PARTITION_WRITES, PARTITION_READS = 1_000, 3_000
"""Units a second of one partition: Amazon DynamoDB quotas."""

SEED = 5
SWING = 0.8
"""The busiest minutes of a day have 1.8 times its mean, and all tenants have them at once."""
MODEL_SECONDS, TOOL_SECONDS, REQUEST_SECONDS, TRANSITION_SECONDS = (
    milliseconds / 1_000 for milliseconds in (costs.MODEL_MS, costs.TOOL_MS, costs.REQUEST_MS, costs.TRANSITION_MS)
)
"""The assumptions of docs/costs.md, which are the same here; so are the functions' times."""
CACHE_SECONDS = 60
"""`AuthorizerCacheSeconds`."""
DEFAULT_RUNS_A_MINUTE = 20
"""`RateLimitRuns`."""
AGENTS = 10
"""Of each tenant, as unlike in their shares as tenants are. Each has a tool of its own."""
IN_SESSION = 0.5
"""The share of the runs that go on with a session."""
STREAM_SECONDS = 20.0
"""How long a streamed answer takes; there is text in each tenth of a second."""
PIECE_SECONDS = conversation.TEXT_SECONDS

ONE_TOOL = figures.operations()[costs.TARGET]
STREAMED = figures.operations()["POST /runs/stream (no tool, without its looks)"]

FUNCTIONS = {
    "authorizer": "AuthorizerAuthorize",
    "runs/start": "RunsStart",
    "run_stream/start": "RunStreamStart",
    "call_model": "AgentRunCallModel",
    "call_tool": "AgentRunCallTool",
    "audit/record": "AuditRecord",
}
"""Their names in template.yaml."""

_TEXT = RunEvent(id=1, event="message.delta", data={}, created_at="")
_OF_ONE = ("<run>", "<digest>", "<session>", "<uid>")


@dataclass(frozen=True, slots=True)
class Case:
    """One load.

    Attributes:
        runs: a second, over the whole day.
        skew: Zipf's exponent: the tenant at place n has 1 / n ** skew of what the first has.
        window: seconds that are simulated, the busiest of the day.
        swing: see `SWING`; 0 for a load that does not change.
        limited: the tenants have limits, so that requests and runs are counted.
    """

    name: str
    tenants: int
    runs: float
    skew: float = 1.0
    window: int = 600
    swing: float = SWING
    limited: bool = True
    streamed: bool = False

    @property
    def busiest(self) -> float:
        """Runs a second, on average over the window."""
        return self.runs * (1 + self.swing)


CASES = (
    Case("1,000 tenants x 1,000 runs a day", 1_000, 1_000 * 1_000 / DAY),
    Case("1 million runs a day, 10,000 tenants, more skewed", 10_000, 1_000_000 / DAY, skew=1.2),
    Case("1,000 streams at once", 100, 1_000 / STREAM_SECONDS, window=60, swing=0, streamed=True),
    Case("one tenant at 1,000 runs a second", 1, 1_000, window=60, swing=0, limited=False),
)


@dataclass(frozen=True, slots=True)
class Hot:
    """The most that one partition of a kind gets in one second of the window, in units."""

    partition: str
    place: str
    reads: int
    writes: int

    @property
    def load(self) -> float:
        """The share of what one partition takes."""
        return max(self.reads / PARTITION_READS, self.writes / PARTITION_WRITES)


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a case.

    Attributes:
        peak: runs in the busiest second.
        largest: the first tenant's share of the runs.
        above: tenants that start more runs in the busiest minutes than `RateLimitRuns` lets those without limits of
            their own.
        hot: each kind of partition, the fullest first.
    """

    case: Case
    peak: int
    largest: float
    above: int
    hot: tuple[Hot, ...]

    @property
    def table_runs(self) -> float:
        """Runs a second that the whole table feels: a streamed run asks little at once, but for its whole length."""
        return self.case.busiest if self.case.streamed else float(self.peak)


def looks(seconds: float) -> int:
    """How often a watcher reads the log while text comes in each tenth of a second, by the stream's own pauses."""
    now, heard, seen, count, flowing = 0.0, 0.0, 0, 0, False
    while now < seconds:
        count += 1
        written = int(now / PIECE_SECONDS)
        if new := written > seen:
            seen, heard = written, now
        now += REQUEST_SECONDS + watching.pause([_TEXT] if new else [], now - heard, flowing=flowing)
        flowing = flowing or new
    return count


def requests_of(case: Case, names: Names, in_session: bool) -> tuple[Request, ...]:
    """All that one run asks of the table, with what follows from the table's stream."""
    if case.streamed:
        run = run_requests.streamed_run(names, int(STREAM_SECONDS / PIECE_SECONDS), looks(STREAM_SECONDS))
    else:
        run = run_requests.one_tool_run(names)
    return (
        *run,
        *run_requests.with_key(names),
        *run_requests.in_transaction(names),
        *(run_requests.counted(names) if case.limited else ()),
        *(run_requests.of_session(names) if in_session else ()),
        *run_requests.followed(names, tool_calls=0 if case.streamed else 1),
    )


def total(case: Case) -> Sums:
    """The units of 1,000 runs of a case, look-ups of keys not among them."""
    alone, session = sums(requests_of(case, Names(), False)), sums(requests_of(case, Names(), True))
    share = round(1_000 * IN_SESSION)

    def mixed(one: int, other: int) -> int:
        return one * (1_000 - share) + other * share

    return Sums(
        mixed(alone.requests, session.requests),
        mixed(alone.reads, session.reads),
        mixed(alone.writes, session.writes),
    )


def touches(requests: Iterable[Request]) -> dict[str, tuple[int, int]]:
    """Read and write units by partition."""
    found: dict[str, tuple[int, int]] = {}
    for touch in (touch for request in requests for touch in request.touches):
        reads, writes = found.get(touch.partition, (0, 0))
        found[touch.partition] = reads + touch.reads, writes + touch.writes
    return found


def places(requests: Iterable[Request]) -> dict[str, str]:
    """Where in each partition the requests fall: a partition has one place."""
    return {touch.partition: touch.place for request in requests for touch in request.touches}


def shared_by_runs(partition: str) -> bool:
    """Whether runs at the same time meet in a partition: a run has its log alone, a session one run at a time."""
    return not any(name in partition for name in _OF_ONE)


def _shares(number: int, skew: float) -> list[float]:
    """Zipf's shares, added up from the first on."""
    weights = [1 / place**skew for place in range(1, number + 1)]
    return list(accumulate(weight / sum(weights) for weight in weights))


@cache
def simulated(case: Case) -> Load:
    """The busiest minutes of a case: runs come by chance (Poisson), of tenants and agents by their shares."""
    chance = random.Random(SEED)
    tenants, agents = _shares(case.tenants, case.skew), _shares(AGENTS, case.skew)
    came: Counter[tuple[int, int, bool, int]] = Counter()
    now = chance.expovariate(case.busiest)
    while now < case.window:
        tenant = min(bisect(tenants, chance.random()), case.tenants - 1)
        agent = min(bisect(agents, chance.random()), AGENTS - 1)
        came[tenant, agent, chance.random() < IN_SESSION, int(now)] += 1
        now += chance.expovariate(case.busiest)
    seconds: Counter[int] = Counter()
    for (_, _, _, second), number in came.items():
        seconds[second] += number
    parts = [tenants[0], *(later - earlier for earlier, later in pairwise(tenants))]
    above = sum(part * case.busiest * 60 > DEFAULT_RUNS_A_MINUTE for part in parts)
    return Load(case, max(seconds.values()), tenants[0], above, _hot(case, came))


def _hot(case: Case, came: Counter[tuple[int, int, bool, int]]) -> tuple[Hot, ...]:
    units = {in_session: touches(requests_of(case, Names(), in_session)) for in_session in (False, True)}
    reads: Counter[tuple[str, int, int, int]] = Counter()
    writes: Counter[tuple[str, int, int, int]] = Counter()
    for (tenant, agent, in_session, second), number in came.items():
        for partition, (read, written) in units[in_session].items():
            if shared_by_runs(partition):
                # A tool is its agent's alone. Without either in its name a partition is the whole tenant's.
                key = partition, tenant, agent if "<" in partition else -1, second
                reads[key] += number * read
                writes[key] += number * written
    place = places(requests_of(case, Names(), True))
    most: dict[str, Hot] = {}
    for key in reads:
        partition = key[0]
        found = Hot(partition, place[partition], reads[key], writes[key])
        if partition not in most or most[partition].load < found.load:
            most[partition] = found
    return tuple(sorted(most.values(), key=lambda hot: (-hot.load, hot.partition)))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a run asks of a partition that all runs of a tenant or agent share, and at how many a second it is full."""

    partition: str
    place: str
    reads: int
    writes: int
    runs: float


def ceilings() -> tuple[Ceiling, ...]:
    """The partitions in which runs meet, the first to be full first: one-tool runs, all in sessions, with limits."""
    requests = requests_of(Case("", 1, 1), Names(), True)
    place = places(requests)
    found = [
        Ceiling(partition, place[partition], read, written, 1 / Hot("", "", read, written).load)
        for partition, (read, written) in touches(requests).items()
        if shared_by_runs(partition)
    ]
    return tuple(sorted(found, key=lambda ceiling: (ceiling.runs, ceiling.partition)))


def environments(rate: float) -> int:
    """Environments of the authorizer that so many requests a second keep busy, at least one."""
    return math.ceil(rate * _own("authorizer"))


def lookups(case: Case, rate: float) -> float:
    """Look-ups of keys a second, at most: each environment asks for each tenant's key once a minute."""
    return min(rate, environments(rate) * case.tenants / CACHE_SECONDS)


def memory(function: str) -> int:
    """In MB."""
    return costs.memories()[FUNCTIONS[function]]


def _own(function: str) -> float:
    """Seconds that a call works by itself."""
    return costs.own_ms(FUNCTIONS[function], memory(function)) / 1_000


def run_seconds(case: Case) -> float:
    """How long a run takes, and its caller waits."""
    if case.streamed:
        return STREAM_SECONDS
    models, tools, transitions = ONE_TOOL.asked, ONE_TOOL.tool_calls, ONE_TOOL.transitions
    waits = sums(run_requests.one_tool_run(Names())).requests * REQUEST_SECONDS
    own = _own("runs/start") + models * _own("call_model") + tools * _own("call_tool")
    return models * MODEL_SECONDS + tools * TOOL_SECONDS + transitions * TRANSITION_SECONDS + waits + own


def followed(case: Case) -> int:
    """Requests of the stream's reader for each run."""
    return sums(run_requests.followed(Names(), 0 if case.streamed else 1)).requests


def busy(case: Case, rate: float) -> dict[str, float]:
    """Environments of Lambda at work, by function: arrivals times their length (Little's law)."""
    workers = {
        "call_model": 2 * (MODEL_SECONDS + 2 * REQUEST_SECONDS + _own("call_model")),
        "call_tool": TOOL_SECONDS + 3 * REQUEST_SECONDS + _own("call_tool"),
    }
    lengths = {
        "authorizer": _own("authorizer"),
        "run_stream/start" if case.streamed else "runs/start": run_seconds(case),
        **({"call_model": STREAM_SECONDS} if case.streamed else workers),
        "audit/record": followed(case) * costs.reader_ms(memory("audit/record")) / 1_000,
    }
    return {name: rate * length for name, length in lengths.items()}


def calls(case: Case) -> int:
    """Invocations of Lambda for each run, but for the stream's reader: the authorizer, the API, the workers."""
    return sum((STREAMED if case.streamed else ONE_TOOL).calls.values())


def page() -> str:
    """The text of docs/scale.md with its tables made anew."""
    from benchmarks import scale_page

    return scale_page.written(DOCUMENT.read_text())


if __name__ == "__main__":
    sys.exit(generated.main("benchmarks.scale", DOCUMENT, page, "from what runs are counted to ask"))
