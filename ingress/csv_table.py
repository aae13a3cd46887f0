"""Messages as lines of CSV (RFC 4180) that a spreadsheet takes for texts, never for formulas."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

#: Members of a message, one a column.
COLUMNS: Final = (
    "id", "messageId", "type", "mode", "status", "reason", "retryable", "party", "to", "country", "from", "voice",
    "speed", "repetition", "interruptible", "sessionId", "createdAt", "scheduledAt", "expiresAt", "finishedAt",
    "metadata", "warnings",
)  # fmt: skip
#: What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA: Final = tuple("=+-@\t\r\n")


def cells(message: Mapping[str, Any]) -> list[str]:
    """A message's line, as :func:`shared.db.story.head` shows it."""
    return [_cell(message[name]) for name in COLUMNS]


def lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of cells as they are sent."""
    piece = io.StringIO()
    csv.writer(piece).writerows(rows)
    return piece.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    said = str(value).lower() if isinstance(value, bool) else str(value)
    return "'" + said if said.startswith(_FORMULA) else said
