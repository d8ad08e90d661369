"""How long after a token has left the model does a client see it? `python -m benchmarks.streams` measures this alone.

The stub's model stamps its tokens with the monotonic clock, which is one for all processes of the machine.
"""

import itertools
import statistics
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks import floor, latency, part, scale, stub, timing
from benchmarks.platform import Platform, running

ROUNDS, QUICK_ROUNDS = 5, 1
STREAMS = (1, 16)
FIRST_MS = (200, 350, 500, 700, 900, 1_200)
"""How long the models take to their first token: one stream each in a round, then all together."""
TOKENS, EVERY_MS = 60, 20
WATCHED_SECONDS = scale.STREAM_SECONDS

Delays = list[float]


def steps() -> int:
    """How often `measure` tells its progress."""
    return part.rounds(ROUNDS, QUICK_ROUNDS) + 1


def measure(platform: Platform, model: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure single streams and many at once, round by round.

    Args:
        model: the stub's URL.

    Returns:
        A row for each number of streams, the events of a run, and how often a watcher reads.
    """
    rounds = part.rounds(ROUNDS, QUICK_ROUNDS)
    agents = _agents(platform)
    first: dict[int, list[Delays]] = defaultdict(list)
    later: dict[int, Delays] = defaultdict(list)
    for number in range(rounds):
        progress(f"streams, round {number + 1} of {rounds}")
        for streams in STREAMS:
            found = _together(platform, agents, streams) if streams > 1 else [_watch(platform, one) for one in agents]
            first[streams].append([delays[0] for delays in found])
            later[streams] += [delay for delays in found for delay in delays[1:]]
    progress("events of a run")
    rows = [{"streams": streams} | _row(first[streams], later[streams]) for streams in STREAMS]
    looks = round(scale.looks(WATCHED_SECONDS) / WATCHED_SECONDS, 1)
    return part.about() | {
        "rounds": rounds,
        "rows": rows,
        "events": _events(platform, model),
        "looks_per_second": looks,
    }


def _row(first: list[Delays], later: Delays) -> dict[str, Any]:
    firsts = [delay for one in first for delay in one]
    return {
        "first_tokens": len(firsts),
        "first_p50_ms": round(statistics.median(firsts), 1),
        "first_p95_ms": _p95(firsts),
        "first_p95_spread": timing.spread([_p95(one) for one in first], 1),
        "tokens": len(later),
        "token_p50_ms": round(statistics.median(later), 1),
        "token_p95_ms": _p95(later),
    }


def _p95(values: Delays) -> float:
    return round(statistics.quantiles(values, n=20, method="inclusive")[-1], 1)


def _agents(platform: Platform) -> list[str]:
    """An agent for each of the models; their ids. Each has run once."""
    client = platform.client()
    made = []
    for first_ms in FIRST_MS:
        model = f"custom:{stub.paced_model(first_ms, TOKENS, EVERY_MS)}"
        made.append(
            client.send("POST", "/agents", {"name": f"paced {first_ms}", "model": model, "status": "published"})
        )
    client.close()
    _watch(platform, made[0]["id"])
    return [agent["id"] for agent in made]


def _watch(platform: Platform, agent: str) -> Delays:
    """The delay of each token of a run, in ms.

    Raises:
        RuntimeError: tokens are missing.
    """
    client = platform.client()
    delays = [
        (moment - int(stamp)) / 1e6
        for moment, name, data in client.watch("/runs/stream", {"agent_id": agent, "input_message": "go"})
        if name == "message.delta"
        for stamp in data["content"].split()
    ]
    client.close()
    # The last ones come with the whole answer, and then not as pieces if they are too many.
    if len(delays) < TOKENS:
        raise RuntimeError(f"{TOKENS} tokens, of which {len(delays)} came")
    return delays


def _together(platform: Platform, agents: list[str], streams: int) -> list[Delays]:
    found: list[Delays] = []
    failures: list[Exception] = []

    def work(agent: str) -> None:
        try:
            found.append(_watch(platform, agent))
        except (RuntimeError, OSError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in itertools.islice(itertools.cycle(agents), streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return found


def _events(platform: Platform, model: str) -> dict[str, dict[str, int]]:
    """The events of a streamed one-tool run and of a plain answer by the offline model, by name."""
    agent = latency.one_tool_agent(platform, model, "streamed")
    client = platform.client()
    prompts = {"one tool": floor.PROMPT, "no tool, 9 words": "Good morning"}
    found = {}
    for name, prompt in prompts.items():
        events = client.watch("/runs/stream", {"agent_id": agent, "input_message": prompt})
        found[name] = dict(Counter(event for _, event, _ in events))
    client.close()
    return found


def main() -> None:
    with stub.running() as model, running(model) as platform:
        part.alone("streams", steps(), lambda progress: measure(platform, model, progress))


if __name__ == "__main__":
    main()
