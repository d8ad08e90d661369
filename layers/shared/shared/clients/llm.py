"""The model: one chat completion over the OpenAI API. The only file that imports openai."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import openai

from shared.clients.secrets import model_key
from shared.config import model_base_url
from shared.errors import ModelRejected, ModelUnavailable

_PASSING = {408, 409, 425, 429}


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool call that the model asks for, as it gave it."""

    id: str
    function_name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said. Token counts are None if the provider gives none."""

    content: str | None
    tool_calls: list[Asked]
    prompt_tokens: int | None
    completion_tokens: int | None


@cache
def _client(base_url: str, key: str) -> openai.OpenAI:
    # Step Functions repeats what fails in passing; a second layer of retries would only multiply the waiting.
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)


def chat(
    provider: str,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    timeout_s: float,
) -> Reply:
    """One chat completion.

    Args:
        messages, tools: in the API's own form. params: validated parameters, such as `temperature`.
        timeout_s: seconds until the call is given up.

    Raises:
        ModelUnavailable: rate limit, timeout, 5xx, no connection; worth repeating.
        ModelRejected: unknown model, refused key, invalid request; not worth repeating.
    """
    base_url = model_base_url(provider)
    if base_url is None:
        raise ModelRejected(f"This deployment does not know the model provider {provider!r}.")
    key = model_key(provider)
    if key is None:
        raise ModelRejected(f"This deployment has no key for the model provider {provider!r}.")
    arguments: dict[str, Any] = {"model": model, "messages": messages, "timeout": timeout_s, **params}
    if tools:
        arguments["tools"] = tools
    try:
        answer = _client(base_url, key).chat.completions.create(**arguments)
    except openai.APIStatusError as error:
        raise _of_status(error, model, key) from error
    except openai.APIConnectionError as error:
        raise ModelUnavailable(f"The model provider did not answer ({type(error).__name__}).") from error
    except openai.OpenAIError as error:
        raise ModelRejected(f"The model call failed ({type(error).__name__}).") from error
    return _reply(answer)


def _of_status(error: openai.APIStatusError, model: str, key: str) -> ModelUnavailable | ModelRejected:
    status = error.status_code
    if status in _PASSING or status >= 500:
        return ModelUnavailable(f"The model provider answered {status}.")
    if status in {401, 403}:
        return ModelRejected("The model provider refused the platform's key.")
    body = error.body if isinstance(error.body, dict) else {}
    # The provider's own words may quote the key.
    said = _text(str(body.get("message", ""))).replace(key, "[key]")[:300]
    return ModelRejected(f"The model provider refused the request for {model!r} ({status}): {said}")


def _reply(answer: Any) -> Reply:
    """What an answer says. The SDK does not check what providers send.

    Raises:
        ModelUnavailable: it is no chat completion.
    """
    try:
        message = answer.choices[0].message
        asked = [
            Asked(_text(call.id), _text(call.function.name), _text(call.function.arguments))
            for call in message.tool_calls or []
            if call.type == "function"
        ]
        content = None if message.content is None else _text(message.content)
    except (AttributeError, LookupError, TypeError) as error:
        raise ModelUnavailable("The model provider's answer is not a chat completion.") from error
    usage = getattr(answer, "usage", None)
    return Reply(content, asked, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _text(value: str | None) -> str:
    """A text that can be stored: half a surrogate pair, which JSON can carry, is no UTF-8."""
    return (value or "").encode("utf-8", "replace").decode()


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if type(value) is int and value >= 0 else None
