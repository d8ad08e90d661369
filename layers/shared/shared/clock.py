"""The time as the API shows it: ISO 8601, UTC, milliseconds, `Z`."""

from datetime import UTC, datetime, timedelta


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The current time. Texts of this form sort by time."""
    return iso(datetime.now(UTC))


def in_seconds(seconds: float) -> str:
    """The time so many seconds from now."""
    return iso(datetime.now(UTC) + timedelta(seconds=seconds))


def epoch(moment: str) -> int:
    """Seconds since 1970 of a time of the form above."""
    return int(datetime.fromisoformat(moment).timestamp())


def seconds_between(begin: str, end: str) -> float:
    """Seconds from one time of the form above to another; never less than 0."""
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())


def seconds_until(moment: str) -> float:
    """Seconds from now until a time of the form above; negative if it has passed."""
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()
