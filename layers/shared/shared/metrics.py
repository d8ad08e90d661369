"""Every metric that the platform emits: name, unit, and dimensions with the closed set of their values.

Names and attributes are those of OpenTelemetry's conventions for generative AI where there is one (see
docs/decisions/0017-logs-and-metrics.md), with CloudWatch's words for units. A dimension never takes a value that a
tenant chooses, since each combination of values is a series of its own that is paid for. docs/metrics.md is made from
this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NAMESPACE = "AgentPlatform"

SERVICE = "service"
"""The dimension of every metric: the name of the stack, so that two stacks of one account do not add up."""

ERROR_TYPE = "error.type"
"""The dimension of a second series, which holds those of a metric that ended in an error, by its kind."""

OTHER = "_OTHER"
"""What stands for a value that is in no set: the conventions' word for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        unit: CloudWatch's word.
        when: what one value of it stands for.
        dimensions: beside `service`, each with all the values that it takes.
        errors: the values of `error.type`; without any there is no second series.
    """

    name: str
    unit: Literal["Count", "Seconds"]
    when: str
    dimensions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    errors: tuple[str, ...] = ()


_ENDS = ("succeeded", "failed", "cancelled", "timed_out")
_RUN_ERRORS = (
    "budget_cost",
    "budget_tokens",
    "error",
    "limit_exceeded",
    "max_cost_usd",
    "max_seconds",
    "max_steps",
    "max_tokens",
    "model_rejected",
    "model_unavailable",
    "runner_unavailable",
    "timeout",
    "tool_error",
)
_TOOL_ERRORS = (
    "address_blocked",
    "answer_too_large",
    "connect_failed",
    "host_not_allowed",
    "http_3xx",
    "http_4xx",
    "http_5xx",
    "http_error",
    "invalid_arguments",
    "invalid_schema",
    "not_implemented",
    "permission_denied",
    "protocol_error",
    "rate_limited",
    "redirect_refused",
    "request_invalid",
    "secret_missing",
    "timeout",
    "token_refused",
    "unknown",
    "unknown_tool",
    "url_invalid",
)
_MODEL = {"gen_ai.operation.name": ("chat",), "gen_ai.provider.name": ("openai", "custom")}

RUNS_FINISHED = Metric(
    "runs.finished",
    "Count",
    "A run ended; counted where its end was written, so once. Tests of tools are left out.",
    {"run.status": _ENDS},
    _RUN_ERRORS,
)
AGENT_DURATION = Metric(
    "gen_ai.invoke_agent.duration",
    "Seconds",
    "The run of an agent ended that had begun: from its begin to its end.",
    {"run.status": _ENDS},
    _RUN_ERRORS,
)
MODEL_DURATION = Metric(
    "gen_ai.client.operation.duration",
    "Seconds",
    "A model provider was asked: until its answer was whole, or failed. One that the platform hung up on is left out.",
    _MODEL,
    ("ModelRejected", "ModelUnavailable"),
)
FIRST_CHUNK = Metric(
    "gen_ai.client.operation.time_to_first_chunk",
    "Seconds",
    "The first piece of a streamed answer came: from the asking on.",
    _MODEL,
)
TOKENS = Metric(
    "gen_ai.client.token.usage",
    "Count",
    "The tokens of one answer of a model, as its provider counts them; none if it does not.",
    _MODEL | {"gen_ai.token.type": ("input", "output")},
)
TOOL_DURATION = Metric(
    "gen_ai.execute_tool.duration",
    "Seconds",
    "A tool call ended; counted where its end was written, so once.",
    {"tool.kind": ("http_webhook", "internal", "none")},
    _TOOL_ERRORS,
)
LIMITS_REFUSED = Metric(
    "limits.refused",
    "Count",
    "A limit refused something: a request (429), a run (429), a login (429), a tool call.",
    {"limit": ("requests", "runs", "logins", "tool_calls")},
)
RECORDS_PARKED = Metric(
    "records.parked",
    "Count",
    "A record of the table's stream was sent to the dead letters by the function that could not work on it.",
    {"queue": ("audit", "call_up")},
)
TABLE_BUSY = Metric(
    "table.busy",
    "Count",
    "The table turned a request away, after the AWS client's own retries: throttled, or a transaction met another.",
)
AUDIT_LOST = Metric("audit.lost", "Count", "An audit record stands in the log, since the table did not take it.")
AUTHORIZER_REFUSED = Metric(
    "authorizer.refused", "Count", "The authorizer refused a key or token; Lambda counts that among its errors."
)
STREAMS_BROKEN = Metric(
    "streams.broken", "Count", "A streamed answer broke off after its 200, by the platform's fault."
)

METRICS = (
    RUNS_FINISHED,
    AGENT_DURATION,
    MODEL_DURATION,
    FIRST_CHUNK,
    TOKENS,
    TOOL_DURATION,
    LIMITS_REFUSED,
    RECORDS_PARKED,
    TABLE_BUSY,
    AUDIT_LOST,
    AUTHORIZER_REFUSED,
    STREAMS_BROKEN,
)
