"""A run's conversation, read from its event log."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared import json_text
from shared.store import keys
from shared.store.run_log import Event
from shared.store.table import TenantStore

if TYPE_CHECKING:
    from shared.domain.plans import Plan

_HISTORY_TURNS = 20
_HISTORY_CHARACTERS = 64_000

TERMINAL = frozenset({"result", "error", "cancelled"})
TEXT_SECONDS = 0.1
"""How long pieces of a model's answer are gathered before they are written; the first one is written at once."""


@dataclass(slots=True)
class ToolCall:
    """One call that the model asked for, and how far it got.

    Attributes:
        id: unique in the run. `function_name` and `arguments` are as the model gave them.
        status: `asked`, `started`, then `succeeded`, `failed` or `unknown`.
        result: what the model is told.
    """

    id: str
    name: str
    function_name: str
    arguments: str
    status: str = "asked"
    result: str = ""
    duration_ms: int | None = None

    @property
    def ended(self) -> bool:
        return self.status not in {"asked", "started"}


@dataclass(slots=True)
class Conversation:
    """What the log of a run amounts to."""

    steps: list[tuple[str | None, list[ToolCall]]] = field(default_factory=list)
    calls: dict[str, ToolCall] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = False
    end: Event | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def pending(self) -> list[str]:
        """Ids of the calls of the last step that have not ended."""
        return [call.id for call in self.steps[-1][1] if not call.ended] if self.steps else []


def replay(events: Iterable[Event]) -> Conversation:
    """Read a log from its start."""
    seen = Conversation()
    for event in events:
        data = event.data
        match event.event:
            case "message.completed":
                calls = [ToolCall(**call) for call in data["tool_calls"]]
                seen.calls |= {call.id: call for call in calls}
                seen.steps.append((data["content"], calls))
            case "usage":
                seen.prompt_tokens += data["prompt_tokens"]
                seen.completion_tokens += data["completion_tokens"]
                seen.counted = True
            case "tool.started":
                seen.calls[data["tool_call_id"]].status = "started"
            case "tool.completed" | "tool.error":
                call = seen.calls[data["tool_call_id"]]
                done = event.event == "tool.completed"
                call.status = "succeeded" if done else data["status"]
                call.result = data["output"] if done else f"Error ({data['code']}): {data['error']}"
                call.duration_ms = data["duration_ms"]
        if event.event in TERMINAL:
            seen.end = event
    return seen


def history(store: TenantStore, plan: "Plan") -> list[tuple[str, str]]:
    """Question and answer of the session's earlier runs, oldest first; 1 request, none for a new session.

    The newest 20 turns, as far as they fit 64,000 characters.
    """
    if plan.history is None:
        return []
    uid, count = plan.history.uid, plan.history.turns
    turns: list[tuple[str, str]] = []
    room = _HISTORY_CHARACTERS
    behind = keys.turn(uid, count + 1).sort
    for item in store.query(keys.turns(uid), limit=_HISTORY_TURNS, after=behind, newest_first=True).items:
        turn = json.loads(item.doc)
        room -= len(turn["input_message"]) + len(turn["output_message"])
        if room < 0:
            break
        turns.append((turn["input_message"], turn["output_message"]))
    return turns[::-1]


def messages(
    plan: "Plan", history: Sequence[tuple[str, str]], input_message: str, conversation: Conversation
) -> list[dict[str, Any]]:
    """The messages of the next model call, as the chat completions API takes them.

    Args:
        history: question and answer of the session's earlier runs, oldest first.
    """
    built: list[dict[str, Any]] = []
    if plan.system_prompt:
        built.append({"role": "system", "content": plan.system_prompt})
    for question, answer in history:
        built += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    built.append({"role": "user", "content": input_message})
    for content, calls in conversation.steps:
        said: dict[str, Any] = {"role": "assistant", "content": content}
        if calls:
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function_name, "arguments": call.arguments},
                }
                for call in calls
            ]
        built.append(said)
        built += [{"role": "tool", "tool_call_id": call.id, "content": call.result} for call in calls]
    return built


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object; `{}` if the model wrote something else, or what no client of ours could read."""
    try:
        parsed = json_text.parse(call.arguments or "{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
