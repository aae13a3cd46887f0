"""Always: find what was missed. Every change repeats its guards, so any number of sweepers may run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text

from shared.db.queries import daily_calls, failover, inbox, stops
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import Lane, Status

_PAGE: Final = 500


#: One row for each kind of thing that waits, so that a round in which nothing does costs one statement.
_WAITING: Final = text(f"""
SELECT 'new_server' AS kind, '' AS name WHERE NOT {failover.KNOWN}
UNION ALL
SELECT 'overdue', s.status FROM unnest(CAST(:statuses AS text[])) AS s(status)
WHERE EXISTS (SELECT FROM messages m WHERE m.finished_at IS NULL AND m.status = s.status AND m.due_at <= now())
UNION ALL
SELECT 'late', l.lane FROM unnest(CAST(:lanes AS text[])) AS l(lane)
WHERE EXISTS (SELECT FROM messages m WHERE m.status = 'queued' AND m.lane = l.lane AND m.deadline <= now())
UNION ALL
SELECT 'to_dial', l.lane FROM unnest(CAST(:lanes AS text[])) AS l(lane)
WHERE EXISTS (SELECT FROM messages m
  WHERE m.status = 'queued' AND m.lane = l.lane AND m.due_at <= now() AND m.deadline > now())
UNION ALL
SELECT 'held_destination', '' WHERE EXISTS (SELECT FROM messages WHERE busy_until <= now())
UNION ALL
SELECT 'event', '' WHERE EXISTS (SELECT FROM webhook_inbox WHERE processed_at IS NULL AND due_at <= now())
UNION ALL
SELECT 'poison', '' WHERE EXISTS (SELECT FROM webhook_inbox
  WHERE processed_at IS NULL AND due_at <= now() AND attempts >= :tries)
UNION ALL
SELECT 'silent_callback', '' WHERE EXISTS (SELECT FROM endpoints e WHERE EXISTS (SELECT FROM callbacks c
  WHERE c.endpoint_id = e.endpoint_id AND c.state = 'sending' AND c.due_at <= now()))
UNION ALL
SELECT 'old_event', '' WHERE EXISTS (SELECT FROM webhook_inbox
  WHERE processed_at <= now() - :keep_s * interval '1 second' AND result <> 'parked')
UNION ALL
SELECT 'stop_over', '' WHERE {stops.IS_OVER}
UNION ALL
SELECT 'stopped', '' WHERE {stops.HOLDS}
UNION ALL
SELECT 'capped', '' WHERE {daily_calls.ANY_MET}
UNION ALL
SELECT 'callback', '' WHERE EXISTS (SELECT FROM endpoints e WHERE EXISTS (SELECT FROM callbacks c
  WHERE c.endpoint_id = e.endpoint_id AND c.state IN ('due', 'sending') AND c.due_at <= now()))
""")

#: A kind of thing that waits, and of which status or lane.
Waiting = tuple[str, str]


def waiting(
    connection: Connection, statuses: Sequence[Status], keep_s: float, caps: Mapping[str, int | None]
) -> frozenset[Waiting]:
    """What a round has to do: messages overdue in one of *statuses*, late or to be dialled, and all the rest."""
    asked = {"statuses": list(statuses), "lanes": list(Lane), "tries": inbox.MAX_TRIES, "keep_s": keep_s, **caps}
    return frozenset((row.kind, row.name) for row in connection.execute(_WAITING, asked))


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
    session_id: str | None

    @property
    def ids(self) -> dict[str, str | None]:
        """What it is called in logs."""
        return {"message_id": self.id, "attempt_id": self.attempt_id, "session_id": self.session_id}


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
  now() AS now, a.valid_until, m.plays, m.seconds_per_play, m.session_id
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
WITH gone AS (DELETE FROM heartbeats WHERE beat_at < now() - interval '1 day' AND process <> :process)
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
    return float(connection.execute(_BEAT, {"process": process, "sent_at": sent_at}).scalar_one())
