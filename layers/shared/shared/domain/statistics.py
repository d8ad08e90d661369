"""Figures of agents and tools: how their runs and calls ended, how long they took, what they cost.

Each run and each call that ended leaves one small item, written by the reader of the table's stream. It is the mark
that the run is counted, so a repetition counts nothing twice.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from shared import clock
from shared.domain import usage
from shared.domain.fields import Record
from shared.domain.run_records import Run
from shared.store import keys
from shared.store.run_log import Event
from shared.store.table import Put, TenantStore, Write

MAX_COUNTED = 10_000
"""Runs or calls that one answer looks at: the newest of the window."""

Window = Literal["1h", "24h", "7d", "30d"]
_WINDOWS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
# A little longer than the longest window.
_KEPT = timedelta(days=35)
_ENDED = {"tool.completed", "tool.error"}


class Percentiles(Record):
    """By nearest rank: of all durations, half and 95 of 100 are no longer. Null if nothing was counted."""

    p50: int | None
    p95: int | None


class RunCounts(Record):
    """Runs by how they ended."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    timed_out: int


class TokenCounts(Record):
    """Tokens, as far as the model's provider counts them."""

    prompt: int
    completion: int
    total: int


class CallCounts(Record):
    """Calls by how they ended."""

    total: int
    succeeded: int
    failed: int


class AgentStats(Record):
    """An agent's runs that ended in a window. `truncated`: there were more, and these are the newest 10,000."""

    agent_id: str
    window: Window
    since: str
    runs: RunCounts
    duration_ms: Percentiles
    tokens: TokenCounts
    cost_usd: str
    truncated: bool


class ToolStats(Record):
    """A tool's calls that ended in a window; `errors` counts by code. `truncated`: these are the newest 10,000."""

    tool_id: str
    window: Window
    since: str
    calls: CallCounts
    errors: dict[str, int]
    duration_ms: Percentiles
    truncated: bool


def count_run(run: Run) -> tuple[Write, ...]:
    """The writes that count a run that ended, to be made in one transaction: the second time it fails.

    A test is not counted. A run that ended before it began has no duration.
    """
    if run.finished_at is None or run.test:
        return ()
    figures = {
        "status": run.status,
        "duration_ms": None if run.started_at is None else _milliseconds(run.started_at, run.finished_at),
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
        "total_tokens": run.total_tokens,
        "cost_usd": run.cost_usd,
    }
    counted = usage.add(
        run.finished_at,
        run.status,
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        total_tokens=run.total_tokens,
        cost_usd=run.cost_usd,
    )
    return _mark(keys.run_stat(run.agent_id, run.finished_at, run.id), figures, run.finished_at), counted


def count_calls(run_id: str, events: Iterable[Event]) -> list[Write]:
    """The writes that count the tool calls which ended with these events of a run, each on its own."""
    return [
        _mark(
            keys.call_stat(event.data["tool_id"], event.created_at, run_id, event.data["tool_call_id"]),
            {
                "status": "succeeded" if event.event == "tool.completed" else "failed",
                "code": event.data.get("code"),
                "duration_ms": event.data["duration_ms"],
            },
            event.created_at,
        )
        for event in events
        if event.event in _ENDED and event.data.get("tool_id")
    ]


def of_agent(store: TenantStore, ref: str, window: Window) -> AgentStats:
    """An agent's figures; 2 requests by id, 3 by name, and 1 more for each further megabyte of figures.

    Raises:
        NotFound: no such agent in this tenant.
    """
    from shared.domain import agents  # here, because who only counts needs none of it

    agent = agents.get(store, ref)
    since, figures, truncated = _figures(store, keys.agent_stats(agent.id), window)
    by_status = Counter(run["status"] for run in figures)
    return AgentStats(
        agent_id=agent.id,
        window=window,
        since=since,
        runs=RunCounts(
            total=len(figures),
            **{name: by_status[name] for name in RunCounts.model_fields if name != "total"},
        ),
        duration_ms=_percentiles(figures),
        tokens=TokenCounts(
            **{name: sum(run[f"{name}_tokens"] or 0 for run in figures) for name in TokenCounts.model_fields}
        ),
        cost_usd=f"{sum((Decimal(run['cost_usd'] or 0) for run in figures), Decimal(0)):f}",
        truncated=truncated,
    )


def of_tool(store: TenantStore, ref: str, window: Window) -> ToolStats:
    """A tool's figures; requests as `of_agent`.

    Raises:
        NotFound: no such tool in this tenant.
    """
    from shared.domain import tools

    tool = tools.get(store, ref)
    since, figures, truncated = _figures(store, keys.tool_stats(tool.id), window)
    succeeded = sum(call["status"] == "succeeded" for call in figures)
    errors = Counter(call["code"] for call in figures if call["status"] != "succeeded")
    return ToolStats(
        tool_id=tool.id,
        window=window,
        since=since,
        calls=CallCounts(total=len(figures), succeeded=succeeded, failed=len(figures) - succeeded),
        errors=dict(errors.most_common()),
        duration_ms=_percentiles(figures),
        truncated=truncated,
    )


def _figures(store: TenantStore, partition: str, window: Window) -> tuple[str, list[dict[str, Any]], bool]:
    """Since when, what ended since then, and whether there is more than that."""
    since = clock.in_seconds(-_WINDOWS[window].total_seconds())
    page = store.query(partition, limit=MAX_COUNTED, newest_first=True, since=since)
    return since, [json.loads(item.doc) for item in page.items], page.next_after is not None


def _percentiles(figures: Sequence[dict[str, Any]]) -> Percentiles:
    durations = sorted(one["duration_ms"] for one in figures if one["duration_ms"] is not None)
    return Percentiles(p50=_nearest_rank(durations, 50), p95=_nearest_rank(durations, 95))


def _nearest_rank(ascending: Sequence[int], percent: int) -> int | None:
    return ascending[math.ceil(percent * len(ascending) / 100) - 1] if ascending else None


def _mark(key: keys.Key, figures: dict[str, Any], moment: str) -> Put:
    expires = datetime.fromisoformat(moment).astimezone(UTC) + _KEPT
    return Put(key, json.dumps(figures, separators=(",", ":")), expires_at=int(expires.timestamp()))


def _milliseconds(begin: str, end: str) -> int:
    passed = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    return max(0, round(passed.total_seconds() * 1000))
