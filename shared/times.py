"""Moments as text: RFC 3339 in, RFC 3339 UTC with milliseconds out; and how people say seconds."""

import re
from datetime import UTC, datetime
from typing import Final

_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_OFFSET: Final = r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
_RFC_3339: Final = re.compile(f"{_DATE}[Tt ]{_CLOCK}{_OFFSET}")


def rfc3339(moment: datetime) -> str:
    """
    Write *moment* the way every reply, callback and callflow shows time: UTC, milliseconds, ``Z``.

    Raises:
        ValueError: The moment has no time zone, so what it means would be a guess.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """
    Read an RFC 3339 time as aware UTC.

    The offset is required: a local time without one names no moment. Digits past the microsecond are dropped.

    Raises:
        ValueError: Not RFC 3339, no such day or hour, or outside the years 1 to 9999 in UTC.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-10-05T09:12:10Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("names no moment in the calendar") from None


def age(seconds: float | None) -> str:
    """Seconds as people say them: ``2.3 s``, ``5 min``, ``3 h``, ``4 d``."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
