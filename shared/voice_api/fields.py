"""Single values out of 8x8's JSON: each reader takes anything and gives what it can use, or None."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

MAX_ID: Final = 128  # characters; 8x8's ids have 36
MAX_WORD: Final = 64  # characters of a status, a direction, a last action, DTMF digits
_MAX_INT: Final = 2**31 - 1  # what a PostgreSQL integer holds
_PHONE: Final = re.compile(r"(?:\+|00)?([0-9]{3,15})")  # no country's code begins with 0
_PHONE_FILLER: Final = str.maketrans("", "", " -().")
_EMPTY: Final[Mapping[str, Any]] = {}


def lowered(value: Any) -> Mapping[str, Any]:
    """The object with its keys in lower case, since 8x8's own samples disagree; empty for other types."""
    return {key.lower(): member for key, member in value.items()} if isinstance(value, dict) else _EMPTY


def text(value: Any, limit: int) -> str | None:
    """
    Printable text of at most *limit* characters; None for empty, for ``"null"`` and for other types.

    Printable also means free of NUL and lone surrogates, which PostgreSQL and UTF-8 refuse.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    printable = value if value.isprintable() else "".join(c for c in value if c.isprintable())
    printable = printable.strip()
    return printable[:limit] if printable and printable.lower() != "null" else None


def identifier(value: Any) -> str | None:
    """An opaque id. One longer than any id is none: cut short, it could be taken for another."""
    found = text(value, MAX_ID + 1)
    return found if found and len(found) <= MAX_ID else None


def word(value: Any) -> str | None:
    """A status or another short text, as spelled."""
    return text(value, MAX_WORD)


def upper(value: Any) -> str | None:
    """A short text from a closed list, in capitals: a direction."""
    found = text(value, MAX_WORD)
    return found.upper() if found else None


def country(value: Any) -> str | None:
    """ISO 3166 alpha-2 in capitals."""
    found = text(value, 3)
    return found.upper() if found and len(found) == 2 and found.isascii() and found.isalpha() else None


def phone(value: Any) -> str | None:
    """E.164 with ``+``; None for withheld and alphanumeric callers."""
    found = text(value, MAX_WORD)
    match = _PHONE.fullmatch(found.translate(_PHONE_FILLER)) if found else None
    return "+" + match[1] if match else None


def number(value: Any) -> float | None:
    """A finite number, also from a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def whole(value: Any) -> int | None:
    """A whole number that fits a PostgreSQL integer, fractions dropped."""
    found = number(value)
    return int(found) if found is not None and abs(found) <= _MAX_INT else None


def count(value: Any) -> int | None:
    """A whole number from zero up."""
    found = whole(value)
    return found if found is not None and found >= 0 else None


def moment(value: Any) -> datetime | None:
    """Aware UTC. 8x8 documents UTC throughout, so a time that lost its ``Z`` is taken as that."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
