"""Always: find what was missed. Every change repeats its guards, so any number of sweepers may run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from shared.db.queries import inbox, moves
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import Event, Lane, Move, Status

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Overdue:
    """A message whose time to be looked at has come."""

    id: str
    attempt_id: str | None
    attempt: int
    may_redial: bool
    deadline: datetime
    now: datetime
    valid_until: datetime | None
    plays: int
    seconds_per_play: float


_OVERDUE: Final = text(f"""
SELECT m.id, m.attempt_id, m.attempt, m.deadline,
  m.redial_unknown AND (SELECT count(*) FROM dial_attempts s WHERE s.message_id = m.id AND {MAYBE_ACCEPTED})
    < m.max_attempts AS may_redial,
  now() AS now, a.valid_until, m.plays, m.seconds_per_play
FROM messages m LEFT JOIN dial_attempts a USING (attempt_id)
WHERE m.finished_at IS NULL AND m.status = :status AND m.due_at <= now() AND m.id > :after
ORDER BY m.id LIMIT :page
""")


def overdue(connection: Connection, status: Status, after: str = "") -> list[Overdue]:
    """One page of the messages in *status* whose due time has passed, in the order of their ids."""
    rows = connection.execute(_OVERDUE, {"status": status, "after": after, "page": _PAGE})
    return [Overdue(**row._asdict()) for row in rows]


_PAST_DEADLINE: Final = text("""
SELECT id FROM messages
WHERE status = 'queued' AND lane = ANY (:lanes) AND deadline <= now() AND id > :after
ORDER BY id LIMIT :page
""")


def past_deadline(connection: Connection, after: str = "") -> list[str]:
    """One page of the messages that nobody began to dial in time."""
    rows = connection.execute(_PAST_DEADLINE, {"lanes": list(Lane), "after": after, "page": _PAGE})
    return [row.id for row in rows]


def expire(connection: Connection, ids: Sequence[str]) -> list[moves.Moved]:
    """The deadline passed before dialling: say so."""
    return moves.apply(connection, [Move(id_, Event.DEADLINE_PASSED, reason="deadline_passed") for id_ in ids])


_FREE: Final = text("""
UPDATE messages SET busy_destination = NULL, busy_until = NULL WHERE busy_until <= now()
""")


def free_destinations(connection: Connection) -> int:
    """Let go of destinations whose call can no longer be ringing or speaking, summary or not."""
    return connection.execute(_FREE).rowcount


_LANES_DUE: Final = text("""
SELECT lane FROM unnest(CAST(:lanes AS text[])) AS l(lane)
WHERE EXISTS (SELECT FROM messages m
  WHERE m.status = 'queued' AND m.lane = l.lane AND m.due_at <= now() AND m.deadline > now())
""")


def lanes_due(connection: Connection) -> list[Lane]:
    """The lanes in which a message waits to be dialled."""
    return [Lane(row.lane) for row in connection.execute(_LANES_DUE, {"lanes": list(Lane)})]


_EVENTS_DUE: Final = text("SELECT EXISTS (SELECT FROM webhook_inbox WHERE processed_at IS NULL AND due_at <= now())")


def events_due(connection: Connection) -> bool:
    """Whether a kept webhook waits to be reconciled."""
    return bool(connection.execute(_EVENTS_DUE).scalar())


_CALLBACKS_DUE: Final = text("""
SELECT EXISTS (SELECT FROM endpoints e WHERE EXISTS (SELECT FROM callbacks c
  WHERE c.endpoint_id = e.endpoint_id AND c.state IN ('due', 'sending') AND c.due_at <= now()))
""")


def callbacks_due(connection: Connection) -> bool:
    """Whether a callback waits to be sent."""
    return bool(connection.execute(_CALLBACKS_DUE).scalar())


_PARK: Final = text("""
UPDATE webhook_inbox SET processed_at = now(), result = 'parked'
WHERE processed_at IS NULL AND due_at <= now() AND attempts >= :tries
RETURNING inbox_id
""")


def park_poison(connection: Connection) -> list[int]:
    """Set aside webhooks that failed or killed their worker too often."""
    return [row.inbox_id for row in connection.execute(_PARK, {"tries": inbox.MAX_TRIES})]


_PURGE: Final = text("""
DELETE FROM webhook_inbox WHERE inbox_id IN (
  SELECT inbox_id FROM webhook_inbox
  WHERE processed_at <= now() - :keep_s * interval '1 second' AND result <> 'parked'
  ORDER BY processed_at LIMIT :page)
""")


def purge_inbox(connection: Connection, keep_s: float) -> int:
    """Forget one page of webhooks processed long ago."""
    return connection.execute(_PURGE, {"keep_s": keep_s, "page": _PAGE}).rowcount


_BEAT: Final = text("""
INSERT INTO heartbeats (process) VALUES (:process)
ON CONFLICT (process) DO UPDATE SET beat_at = now()
""")


def beat(connection: Connection, process: str) -> None:
    """Leave a sign of life that `ringpost status` and alarms read."""
    connection.execute(_BEAT, {"process": process})
