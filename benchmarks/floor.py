"""The floor: what a one-tool run, two model calls and a tool call, costs a program that serves and keeps nothing."""

import json
from typing import Any

import openai

from benchmarks.client import Client

SDK, BARE = "no server: openai SDK", "no server: http.client"
MODEL, TOOL, PROMPT = "gpt-4o-mini", "bench_echo", 'Use bench_echo to say "hello"'
SYSTEM = "Use your tools when you are asked to."
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_TOOLS: Any = [{"type": "function", "function": {"name": TOOL, "description": "Echoes a text", "parameters": SCHEMA}}]
_MESSAGES: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]


class Sdk:
    """One loop over the SDK's client, with a connection to the tool."""

    def __init__(self, stub: str) -> None:
        self._model = openai.OpenAI(base_url=f"{stub}/v1", api_key="offline", max_retries=0)
        self._tool = Client(stub)

    def run(self) -> None:
        first = self._model.chat.completions.create(model=MODEL, messages=_MESSAGES, tools=_TOOLS).choices[0].message
        call = first.tool_calls[0] if first.tool_calls else None
        if call is None or call.type != "function":
            raise RuntimeError(f"no tool call: {first}")
        said = self._tool.send("POST", "/echo", json.loads(call.function.arguments))
        answer = {"role": "tool", "tool_call_id": call.id, "content": json.dumps(said)}
        messages = [*_MESSAGES, first.model_dump(exclude_none=True), answer]
        second = self._model.chat.completions.create(model=MODEL, messages=messages, tools=_TOOLS).choices[0].message
        if not (second.content or "").startswith("The tool says"):
            raise RuntimeError(f"not a one-tool run: {second}")

    def close(self) -> None:
        self._model.close()
        self._tool.close()


class Bare:
    """The same loop over plain HTTP."""

    def __init__(self, stub: str) -> None:
        self._client = Client(stub)

    def run(self) -> None:
        first = self._ask(_MESSAGES)
        (call,) = first["tool_calls"]
        said = self._client.send("POST", "/echo", json.loads(call["function"]["arguments"]))
        answer = {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(said)}
        second = self._ask([*_MESSAGES, first, answer])
        if not second["content"].startswith("The tool says"):
            raise RuntimeError(f"not a one-tool run: {second}")

    def close(self) -> None:
        self._client.close()

    def _ask(self, messages: Any) -> Any:
        asked = {"model": MODEL, "messages": messages, "tools": _TOOLS}
        return self._client.send("POST", "/v1/chat/completions", asked)["choices"][0]["message"]
