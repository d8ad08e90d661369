"""The offline model: an OpenAI-compatible chat model that answers by rules, so that the demo needs no key.

It calls a tool when the prompt names one, then tells what the tool said; else it repeats the prompt in a friendly
way. The same question always gets the same answer.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MODELS = ("offline", "gpt-4o-mini", "gpt-4o", "o3-mini")

_KNOWN = re.compile(r"offline|gpt-.+|o\d.*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|“([^”]+)”")
_ARITHMETIC = re.compile(r"[-(\d][-+*/%.\d\s()^]*[)\d]")
_STREAM_WORDS = 4

Message = Mapping[str, Any]


def knows(model: str) -> bool:
    """Whether this model's name is one the offline model answers to."""
    return _KNOWN.fullmatch(model) is not None


def unknown_model(model: str) -> dict[str, Any]:
    """OpenAI's error body for a model that does not exist."""
    return {
        "error": {
            "message": f"The model `{model}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    }


def completion(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a chat completion request."""
    messages = request["messages"]
    message = _reply(messages, request.get("tools") or [])
    text = message["content"] or json.dumps(message.get("tool_calls"))
    prompt_tokens = sum(_words(_text_of(entry)) for entry in messages)
    return {
        "id": f"chatcmpl-offline-{len(messages)}",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": _words(text),
            "total_tokens": prompt_tokens + _words(text),
        },
    }


def chunks(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same answer as the pieces of a stream."""
    whole = completion(request)
    message = whole["choices"][0]["message"]
    common = {name: whole[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return common | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    yield chunk({"role": "assistant", "content": "" if message["content"] else None})
    words = re.findall(r"\S+\s*|\s+", message["content"] or "")
    for start in range(0, len(words), _STREAM_WORDS):
        yield chunk({"content": "".join(words[start : start + _STREAM_WORDS])})
    for index, call in enumerate(message.get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield chunk({}, whole["choices"][0]["finish_reason"])
    if (request.get("stream_options") or {}).get("include_usage"):
        yield common | {"choices": [], "usage": whole["usage"]}


def _reply(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, _text_of(message))
    if results:
        return {"role": "assistant", "content": f"The tool says: {' | '.join(results)}"}
    prompt = next((_text_of(message) for message in reversed(messages) if message["role"] == "user"), "")
    named = [tool["function"] for tool in tools if _names(prompt, tool["function"]["name"])]
    if not named:
        return {"role": "assistant", "content": f"This is the offline model. You said: {prompt}"}
    before = sum(len(message.get("tool_calls") or ()) for message in messages)
    calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": tool["name"], "arguments": json.dumps(_arguments(tool, prompt), ensure_ascii=False)},
        }
        for number, tool in enumerate(named, before + 1)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _names(prompt: str, tool: str) -> bool:
    return _name_pattern(tool).search(prompt) is not None


def _name_pattern(tool: str) -> re.Pattern[str]:
    """The tool's name as people write it: ``current_time`` is also "current time" and "Current-Time"."""
    words = [re.escape(word) for word in re.split(r"[_\-\s]+", tool) if word]
    return re.compile(r"(?<!\w)" + r"[_\-\s]?".join(words) + r"(?!\w)", re.IGNORECASE)


def _arguments(tool: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """Arguments for the tool: those written in the prompt as JSON, else what its schema asks for, from the words."""
    written = _json_object(prompt)
    if written is not None:
        return written
    schema = tool.get("parameters") or {}
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required = schema.get("required") or ()
    rest = _name_pattern(tool["name"]).split(prompt, maxsplit=1)[-1].strip(" \t\n:,.?!")
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(prompt)]
    numbers = _NUMBER.findall(prompt)
    arguments: dict[str, Any] = {}
    for name, rules in properties.items():
        kind = rules.get("type", "string") if isinstance(rules, dict) else "string"
        if name == "expression" and (found := _ARITHMETIC.search(prompt)):
            arguments[name] = found[0].strip()
        elif isinstance(rules, dict) and rules.get("enum"):
            arguments[name] = next((v for v in rules["enum"] if str(v).lower() in prompt.lower()), rules["enum"][0])
        elif kind in ("number", "integer") and numbers:
            number = float(numbers.pop(0))
            arguments[name] = int(number) if kind == "integer" or number.is_integer() else number
        elif kind == "string" and (quoted or rest) and (name in required or len(properties) == 1 or quoted):
            arguments[name] = quoted.pop(0) if quoted else rest
        elif name in required:
            arguments[name] = _EMPTY.get(kind, "")
    return arguments


_EMPTY: Mapping[str, Any] = {"array": [], "boolean": True, "integer": 0, "number": 0, "object": {}}


def _json_object(prompt: str) -> dict[str, Any] | None:
    for start in (match.start() for match in re.finditer(r"\{", prompt)):
        try:
            value, _ = json.JSONDecoder().raw_decode(prompt, start)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


def _text_of(message: Message) -> str:
    """A message's text; content may be a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, dict))


def _words(text: str) -> int:
    return len(text.split())
