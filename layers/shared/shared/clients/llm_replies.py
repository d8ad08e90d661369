"""What a model said, read from what its provider sent: whole, or chunk by chunk. Nobody checked that before."""

from dataclasses import dataclass, field
from typing import Any

from shared import json_text
from shared.errors import ModelUnavailable

_WRONG = (AttributeError, LookupError, TypeError)


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


def reply_of(answer: Any) -> Reply:
    """What a chat completion says.

    Raises:
        ModelUnavailable: it is no chat completion.
    """
    try:
        message = answer.choices[0].message
        asked = [
            Asked(text(call.id), text(call.function.name), text(call.function.arguments))
            for call in message.tool_calls or []
            if call.type == "function"
        ]
        content = None if message.content is None else text(message.content)
    except _WRONG as error:
        raise ModelUnavailable("The model provider's answer is not a chat completion.") from error
    usage = getattr(answer, "usage", None)
    return Reply(content, asked, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


@dataclass(slots=True)
class _Call:
    """A tool call whose arguments still come in."""

    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class Assembly:
    """A reply put together from the chunks of a stream.

    Attributes:
        size: bytes of text and arguments so far, as JSON. finished: the provider said that this was all.
    """

    def __init__(self) -> None:
        self.size = 0
        self.finished = False
        self._texts: list[str] = []
        self._half = ""
        self._calls: list[_Call] = []
        self._at: dict[int | None, _Call] = {}
        self._usage: Any = None

    def add(self, chunk: Any) -> str:
        """Take a chunk in; the piece of text that it adds.

        Raises:
            ModelUnavailable: it is no chunk of a chat completion.
        """
        try:
            # Most providers count at the end, behind the last choice; some in every chunk.
            self._usage = getattr(chunk, "usage", None) or self._usage
            choice = chunk.choices[0] if chunk.choices else None
            if choice is None:
                return ""
            self.finished = self.finished or bool(choice.finish_reason)
            for fragment in choice.delta.tool_calls or []:
                self._add_call(fragment)
            piece = self._whole(choice.delta.content or "")
        except _WRONG as error:
            raise ModelUnavailable("The model provider's answer is not a stream of a chat completion.") from error
        if piece:
            self._texts.append(piece)
            self.size += _size(piece)
        return piece

    def reply(self) -> Reply:
        """All of it.

        Raises:
            ModelUnavailable: the stream ended before the answer did.
        """
        if not self.finished:
            raise ModelUnavailable("The model provider's stream ended before its answer.")
        asked = [Asked(text(call.id), text(call.name), text("".join(call.arguments))) for call in self._calls]
        content = "".join(self._texts) if self._texts else None
        return Reply(content, asked, _count(self._usage, "prompt_tokens"), _count(self._usage, "completion_tokens"))

    def _add_call(self, fragment: Any) -> None:
        if getattr(fragment, "type", None) not in (None, "function"):
            return
        index, given = getattr(fragment, "index", None), getattr(fragment, "id", None) or ""
        call = self._at.get(index)
        if call is None or (given and call.id and given != call.id):
            # Not every provider counts its calls; then another id is another call.
            call = self._at[index] = _Call(given)
            self._calls.append(call)
        call.name = call.name or fragment.function.name or ""
        part = fragment.function.arguments or ""
        call.arguments.append(part)
        self.size += _size(part)

    def _whole(self, piece: str) -> str:
        """The piece with the half of a surrogate pair that came before it, and without a half at its own end."""
        piece = self._half + piece
        self._half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        piece = piece.removesuffix(self._half) if self._half else piece
        return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def text(value: str | None) -> str:
    """A text that can be stored: half a surrogate pair, which JSON can carry, is no UTF-8."""
    return (value or "").encode("utf-8", "replace").decode()


def _size(piece: str) -> int:
    return json_text.size(piece) - len('""')


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if type(value) is int and value >= 0 else None
