"""Field types and limits that several models share."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from shared import json_text
from shared.cold_start import ONE_THREAD

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


DEFERRED = ConfigDict(defer_build=ONE_THREAD)
"""A model is built when it is first used: a function imports many and uses few. Two threads must not build the same."""


class Inner(BaseModel):
    """What stays among the parts of the platform, or goes out as it is."""

    model_config = DEFERRED


class Model(Inner):
    """What comes in: unknown fields are refused (422)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Record(Inner):
    """What goes out, and what the table keeps. Unknown fields of an older or newer version are dropped."""

    # Lambda's runtime logs the text of an error that ends an invocation.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


def left_out() -> Any:
    """The default of a field of a patch: absent, and so unset. An explicit null is refused like any wrong type."""
    return Field(default_factory=lambda: None)


def _clean_name(value: str) -> str:
    value = unicodedata.normalize("NFC", value).strip()
    if not value:
        raise ValueError("must not be blank")
    if not value.isprintable():
        raise ValueError("must not hold control characters")
    return value


def _written_out(value: Any) -> Any:
    # Pydantic would take a number, also in a text, for seconds since 1970.
    if not isinstance(value, datetime) and not (isinstance(value, str) and _DATE.match(value)):
        raise ValueError("must be a time in ISO 8601, such as 2026-11-21T12:00:00Z")
    return value


def json_size(limit: int) -> AfterValidator:
    """Refuses what takes up more than so many bytes as JSON."""

    def check(value: Any) -> Any:
        if value is not None and json_text.size(value) > limit:
            raise ValueError(f"must be at most {limit} bytes of JSON")
        return value

    return AfterValidator(check)


def _in_utc(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 9000:
        raise ValueError("must lie between the years 1970 and 9000")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
"""JSON's own types: the text "1" is no number, and `true` is not 1."""

# The limit comes twice: a text can grow when it is normalized.
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_clean_name), Field(max_length=200)]
"""1 to 200 printable characters, without blanks around them."""

Label = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_clean_name), Field(max_length=50)]
ShortText = Annotated[str, Field(max_length=2_000)]
Prompt = Annotated[str, Field(max_length=32_000)]
InputMessage = Annotated[str, Field(min_length=1, max_length=100_000), json_size(100_002)]  # with its quotes
Tags = Annotated[list[Label], Field(max_length=20)]
SessionId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Moment = Annotated[datetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""ISO 8601; UTC if it names no zone."""

ZonedMoment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""ISO 8601 with its zone."""

SmallObject = Annotated[dict[str, Any], json_size(4_096)]
JsonSchema = Annotated[dict[str, Any], json_size(16_384)]
