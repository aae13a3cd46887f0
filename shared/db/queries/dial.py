"""Step 2: record what the POSTs to 8x8 came to, and pause what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection, text

from shared.db.queries import moves
from shared.lifecycle import Move
from shared.voice_api.codes import Disposition

#: Of an attempt *s*: 8x8 took its callflow, or may have.
MAYBE_ACCEPTED: Final = "(s.session_id IS NOT NULL OR s.disposition IS NULL OR s.disposition = 'unknown')"


@dataclass(frozen=True, slots=True)
class DialResult:
    """What one POST came to: the attempt's row, and the message's move."""

    attempt_id: str
    disposition: str
    reason: str | None
    status_code: int | None
    status_message: str | None
    session_id: str | None
    move: Move


_REPLIES: Final = """replies AS (
  SELECT * FROM json_to_recordset(:replies) AS x(
    attempt_id text, disposition text, reason text, status_code bigint, status_message text,
    session_id text)
), recorded AS (
  UPDATE dial_attempts a SET
    replied_at = now(), disposition = r.disposition, reason = r.reason,
    status_code = r.status_code, status_message = r.status_message, session_id = COALESCE(a.session_id, r.session_id)
  FROM replies r WHERE a.attempt_id = r.attempt_id
), woken AS (
  UPDATE webhook_inbox i SET due_at = now()
  FROM replies r WHERE i.session_id = r.session_id AND i.processed_at IS NULL
  RETURNING i.inbox_id
)"""

#: No byte of these left.
UNMADE: Final = frozenset({Disposition.NOT_SENT, Disposition.SUPPRESSED})
# Attempts as they were before this statement: what it is repeated for has a disposition already.
_UNMADE: Final = f"""ARRAY(SELECT o.attempt_id FROM replies r JOIN dial_attempts o ON o.attempt_id = r.attempt_id
  WHERE r.disposition IN ({", ".join(f"'{one}'" for one in sorted(UNMADE))}) AND o.disposition IS NULL)"""
_RECORD: Final = moves.together(
    _REPLIES, select=f" SELECT EXISTS (SELECT FROM woken) AS early, {_UNMADE} AS unmade", replies="json"
)


class Recorded(NamedTuple):
    """What recording has found out."""

    early: bool  # a webhook of one of these sessions already waits in the inbox
    unmade: Sequence[str]  # attempts that surely were not made, told now for the first time


def record(connection: Connection, results: Sequence[DialResult]) -> Recorded:
    """Store what the POSTs came to. Safe to repeat."""
    replies = [{name: getattr(result, name) for name in DialResult.__slots__ if name != "move"} for result in results]
    asked = moves.as_json([result.move for result in results])
    row = _RECORD(connection, moves=asked, replies=to_json(replies).decode())[0]
    return Recorded(row.early, row.unmade)


_OPEN_BREAKER: Final = text("""
INSERT INTO breakers (scope, name, reason, failures, probe_at)
VALUES (:scope, :name, :reason, 1, now() + :pause_s * interval '1 second')
ON CONFLICT (scope, name) DO UPDATE SET
  reason = excluded.reason, failures = breakers.failures + 1, probing = false,
  probe_at = now() + LEAST(600, :pause_s * power(2, LEAST(breakers.failures, 8))) * interval '1 second'
WHERE breakers.probing
RETURNING failures
""")


def open_breaker(connection: Connection, scope: str, name: str, *, reason: str, pause_s: float) -> int | None:
    """
    Hold every dial of a subaccount or caller id back; the pause doubles with each failed probe, up to 10 minutes.

    Returns:
        How often in a row it has opened; None when it was open and this was no probe.
    """
    row = connection.execute(
        _OPEN_BREAKER, {"scope": scope, "name": name, "reason": reason, "pause_s": pause_s}
    ).first()
    return None if row is None else int(row.failures)


def close_breakers(connection: Connection, scope: str, names: Sequence[str]) -> list[str]:
    """What a probe has shown to work may dial again. Names those that were open."""
    rows = connection.execute(
        text("DELETE FROM breakers WHERE scope = :scope AND name = ANY (:names) AND probing RETURNING name"),
        {"scope": scope, "names": list(names)},
    )
    return [row.name for row in rows]
