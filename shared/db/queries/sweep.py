"""Always: find what was missed. Every change repeats its guards, so any number of sweepers may run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text

from shared.db.queries import inbox
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import Lane, Status

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Overdue:
    """A message whose time to be looked at has come; *since* and *id* are its place in the order."""

    id: str
    since: datetime
    reason: str | None
    attempt_id: str | None
    attempt: int
    may_redial: bool
    has_doubt: bool  # a call that 8x8 may have taken is not settled
    deadline: datetime
    now: datetime
    valid_until: datetime | None
    plays: int
    seconds_per_play: float


Place = tuple[datetime, str]
#: Before every message.
START: Final[Place] = (datetime.min.replace(tzinfo=UTC), "")

# Locked until the move is written, and skipped where somebody else is at it: what is overdue here is overdue then.
# In the order of the partial index, as open rows lie at the far end of the ids.
_SELECT: Final = f"""
SELECT m.id, m.{{since}} AS since, m.reason, m.attempt_id, m.attempt, m.deadline,
  m.redial_unknown AND (SELECT count(*) FROM dial_attempts s WHERE s.message_id = m.id AND {MAYBE_ACCEPTED})
    < m.max_attempts AS may_redial,
  EXISTS (SELECT FROM dial_attempts s WHERE s.message_id = m.id AND s.settled_at IS NULL AND {MAYBE_ACCEPTED})
    AS has_doubt,
  now() AS now, a.valid_until, m.plays, m.seconds_per_play
FROM messages m LEFT JOIN dial_attempts a USING (attempt_id)
WHERE {{chosen}} AND (m.{{since}}, m.id) > (:since, :id)
ORDER BY m.{{since}}, m.id LIMIT :page
FOR NO KEY UPDATE OF m SKIP LOCKED
"""

_OVERDUE: Final = text(
    _SELECT.format(since="due_at", chosen="m.finished_at IS NULL AND m.status = :status AND m.due_at <= now()")
)


def overdue(connection: Connection, status: Status, after: Place, page: int) -> list[Overdue]:
    """Messages in *status* whose due time has passed, the longest overdue first."""
    rows = connection.execute(_OVERDUE, {"status": status, "since": after[0], "id": after[1], "page": page})
    return [Overdue(**row._asdict()) for row in rows]


_PAST_DEADLINE: Final = text(
    _SELECT.format(since="deadline", chosen="m.status = 'queued' AND m.lane = :lane AND m.deadline <= now()")
)


def past_deadline(connection: Connection, lane: Lane, after: Place, page: int) -> list[Overdue]:
    """Messages of *lane* that nobody began to dial in time, or again."""
    rows = connection.execute(_PAST_DEADLINE, {"lane": lane, "since": after[0], "id": after[1], "page": page})
    return [Overdue(**row._asdict()) for row in rows]


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
INSERT INTO heartbeats (process, clock_ahead_s)
VALUES (:process, EXTRACT(EPOCH FROM clock_timestamp())::float8 - :sent_at)
ON CONFLICT (process) DO UPDATE SET beat_at = now(), clock_ahead_s = excluded.clock_ahead_s
RETURNING clock_ahead_s
""")


def beat(connection: Connection, process: str, sent_at: float) -> float:
    """
    Leave a sign of life that `ringpost status` and alarms read, and forget processes long gone.

    Args:
        connection: Where to.
        process: Its name.
        sent_at: Seconds since 1970 by its own clock.

    Returns:
        How far PostgreSQL's clock is before that, in seconds, the way there included.
    """
    ahead_s = float(connection.execute(_BEAT, {"process": process, "sent_at": sent_at}).scalar_one())
    connection.execute(text("DELETE FROM heartbeats WHERE beat_at < now() - interval '1 day'"))
    return ahead_s
