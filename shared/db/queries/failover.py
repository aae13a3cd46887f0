"""
Which PostgreSQL this is, and what it may have forgotten.

A standby that follows asynchronously and is then promoted lacks the last commits: a message that it shows as waiting
may have been dialled. It is *held*: `dial_unknown` with the reason `history_lost`, so that nothing claims it. It gets
the attempt that the lost claim would have written, whose id follows from the message's: 8x8's summary or log export, or
the worker that is still at it, then settles it like any other doubt.

A copy that was restored lacks more: see :mod:`shared.db.queries.restored`.

:func:`held` tells what is held and since when, :func:`release` lets it be dialled, :func:`discard` gives it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.exc import DBAPIError

from shared.db.database import sql_state
from shared.db.prepared import Prepared
from shared.db.queries import moves
from shared.db.queries.daily_calls import ALL, CALLS, TODAY
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import Event, Lane, Move, Status
from shared.reasons import Reason
from shared.voice_api.codes import Disposition

#: True on a server that was looked at since it started; two readings of its memory and an index.
KNOWN: Final = "EXISTS (SELECT FROM servers k WHERE k.started_at = pg_postmaster_start_time())"

# A promotion is seen here at once; pg_control_checkpoint() tells of it only after the next checkpoint.
_TIMELINE: Final = "('x' || lpad(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), 16, '0'))::bit(64)::bigint"
_IDENTITY: Final = f"(SELECT system_identifier, {_TIMELINE} AS timeline FROM pg_control_system())"
_UNTOLD: Final = "(SELECT NULL::bigint AS system_identifier, NULL::bigint AS timeline)"
#: undefined_function, insufficient_privilege, feature_not_supported, object_not_in_prerequisite_state.
_UNTOLD_STATES: Final = frozenset({"42883", "42501", "0A000", "55000"})

_GREET: Final = """
WITH this AS {identity}, last AS (
  SELECT system_identifier, timeline FROM servers ORDER BY found_at DESC, started_at DESC LIMIT 1
), written AS (
  INSERT INTO servers (started_at, system_identifier, timeline)
  SELECT pg_postmaster_start_time(), t.system_identifier, t.timeline FROM this t
  WHERE NOT EXISTS (SELECT FROM last l
    WHERE l.system_identifier = 0 OR l.system_identifier <> t.system_identifier
      OR l.timeline <> t.timeline)
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT EXISTS (SELECT FROM written) OR {known}
"""


def greet(connection: Connection) -> bool:
    """
    Get to know a server that was started again; False where its history is not the one known before.

    Args:
        connection: On which each statement commits by itself.
    """
    return bool(asked(connection, _GREET))


def asked(connection: Connection, pattern: str, **values: object) -> Any:
    """The only value of a statement about this server's identity; each statement commits by itself."""
    try:
        return connection.execute(text(pattern.format(identity=_IDENTITY, known=KNOWN)), values).scalar()
    except DBAPIError as error:
        if sql_state(error) not in _UNTOLD_STATES:
            raise
    # A service that hides its log keeps one copy of it under all of its servers: there is no tail to lose.
    return connection.execute(text(pattern.format(identity=_UNTOLD, known=KNOWN)), values).scalar()


_KNOWN: Final = text(f"SELECT {KNOWN} AS is_known, clock_timestamp() AS now")


def look(connection: Connection) -> tuple[bool, datetime]:
    """Whether this server is known, and its time."""
    row = connection.execute(_KNOWN).one()
    return row.is_known, row.now


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was due when the server was found, with the attempt that may have been lost."""

    id: str
    attempt_id: str
    number: int
    deadline: datetime
    plays: int
    seconds_per_play: float
    may_redial: bool
    valid_until: datetime
    now: datetime


# Accepted before the last commit that the standby was given; one that was given none has nothing newer than its start.
# In a copy everything is old that was there as it was found.
# What is due later was not dialled in any tail, unless an operator let it go in that: whoever lifts a cap or a stop
# makes due what was due later. In a copy that may be true of all that is queued. A claim in the tail may have happened
# until the server was found.
# The counts of the day are as old as the rest: each held message is counted as the call that it may have been.
_DUE_THEN: Final = f"""
due_at <= :found_at OR reason IN ('{Reason.DAILY_CAP}', '{Reason.DIALING_STOPPED}')
OR :before IS NOT NULL AND status = '{Status.QUEUED}'
"""
_HOLD: Final = Prepared(
    f"""
WITH due AS (
  SELECT id FROM messages
  WHERE finished_at IS NULL AND status = :status AND lane <> '{Lane.TEST}' AND ({_DUE_THEN})
    AND created_at <= COALESCE(:before, pg_last_xact_replay_timestamp(), pg_postmaster_start_time())
  ORDER BY due_at LIMIT :page FOR NO KEY UPDATE
), numbered AS (
  UPDATE messages m SET attempt = m.attempt + 1, session_id = NULL,
    redial_unknown = m.redial_unknown AND :before IS NULL,  -- 8x8's log is asked about the present alone
    attempt_id = 'att_' || substr(m.id, 5) || '_' || (m.attempt + 1)
  FROM due d WHERE m.id = d.id
  RETURNING m.*, LEAST(m.deadline, now() + interval '90 seconds') AS valid_until
), attempts AS (
  INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key,
    valid_until, disposition, reason)
  SELECT attempt_id, id, attempt, 'failover', :subaccount_id, source, destination_key,
    valid_until, '{Disposition.UNKNOWN}', '{Reason.HISTORY_LOST}' FROM numbered
), counted AS (
  UPDATE daily_calls d SET day = {TODAY}, turns = d.turns + c.calls, calls = c.calls + {CALLS}
  FROM (SELECT provider_id AS name, count(*) AS calls FROM numbered GROUP BY provider_id
    UNION ALL SELECT '{ALL}', count(*) FROM numbered HAVING count(*) > 0) c
  WHERE d.name = c.name
)
SELECT n.id, n.attempt_id, n.attempt AS number, n.deadline, n.plays, n.seconds_per_play, n.valid_until, now() AS now,
  n.redial_unknown AND 1 + (SELECT count(*) FROM dial_attempts s WHERE s.message_id = n.id AND {MAYBE_ACCEPTED})
    < n.max_attempts AS may_redial
FROM numbered n
""",
    status="text",
    found_at="timestamptz",
    before="timestamptz",
    page="int",
    subaccount_id="text",
)


def hold(
    connection: Connection,
    status: Status,
    *,
    found_at: datetime,
    subaccount_id: str,
    page: int,
    before: datetime | None = None,
) -> list[Held]:
    """
    One page of what may have been dialled, each with its lost attempt; the caller moves it in this transaction.

    Args:
        connection: In a transaction.
        status: Of those that wait.
        found_at: When the server was found; what is due later was not dialled.
        subaccount_id: Ours.
        page: So many rows at most.
        before: What was accepted later is newer than the loss; None: by what the standby was given last.
    """
    known = {"found_at": found_at, "before": before, "subaccount_id": subaccount_id, "page": page}
    return [Held(**row._asdict()) for row in _HOLD(connection, status=status, **known)]


#: Behind every other row, whatever the clocks of the hosts were that wrote them.
NEWEST: Final = "GREATEST(clock_timestamp(), (SELECT max(found_at) + interval '1 us' FROM servers))"
_ACCEPT: Final = f"""
INSERT INTO servers (started_at, system_identifier, timeline, held, found_at)
SELECT pg_postmaster_start_time(), t.system_identifier, t.timeline, :held, {NEWEST} FROM {{identity}} t
ON CONFLICT (started_at) DO UPDATE SET held = servers.held + excluded.held
RETURNING timeline
"""


def accept(connection: Connection, held: int) -> int | None:
    """Claims may go on: all that this server may have forgotten is held. Its timeline, if it tells."""
    timeline: int | None = asked(connection, _ACCEPT, held=held)
    return timeline


_IS_HELD: Final = f"m.finished_at IS NULL AND m.status = 'dial_unknown' AND m.reason = '{Reason.HISTORY_LOST}'"

_COUNT: Final = text(f"""
SELECT m.lane, count(*) AS messages, count(*) FILTER (WHERE m.deadline > now()) AS in_time,
  min(a.started_at) AS since, min(m.deadline) FILTER (WHERE m.deadline > now()) AS first_deadline
FROM messages m JOIN dial_attempts a USING (attempt_id) WHERE {_IS_HELD} GROUP BY m.lane ORDER BY m.lane
""")


def count(connection: Connection) -> Sequence[RowMapping]:
    """Held messages by lane: how many, how many could still be dialled, since when, the next deadline."""
    return connection.execute(_COUNT).mappings().all()


_HELD: Final = text(f"""
SELECT m.id, m.attempt_id, m.lane, m.deadline, a.started_at AS since, m.deadline > now() AS in_time,
  a.subaccount_id, a.source, m.destination_masked
FROM messages m JOIN dial_attempts a USING (attempt_id)
WHERE {_IS_HELD} AND m.lane = ANY (:lanes) AND (CAST(:ids AS text[]) IS NULL OR m.id = ANY (:ids))
ORDER BY m.deadline LIMIT :limit
""")


def held(
    connection: Connection, *, lanes: Sequence[Lane] = tuple(Lane), ids: Sequence[str] | None = None, limit: int = 500
) -> Sequence[RowMapping]:
    """What is held, the nearest deadline first; *since* is when it was held."""
    asked = {"lanes": list(lanes), "ids": None if ids is None else list(ids), "limit": limit}
    return connection.execute(_HELD, asked).mappings().all()


_NOT_DIALED: Final = text(f"""
UPDATE dial_attempts a SET disposition = '{Disposition.NOT_SENT}'
FROM messages m WHERE m.attempt_id = a.attempt_id AND {_IS_HELD} AND m.deadline > now() AND m.id = ANY (:ids)
RETURNING m.id, a.attempt_id
""")


def release(connection: Connection, ids: Sequence[str]) -> int:
    """
    Let held messages be dialled now, as they surely were not, or a second call is wanted.

    Those whose deadline has passed, or that are held no more, are left as they are.
    """
    rows = connection.execute(_NOT_DIALED, {"ids": list(ids)}).all()
    back = [Move(row.id, Event.DIAL_POSTPONED, row.attempt_id, reason=Reason.HISTORY_LOST, due_in_s=0) for row in rows]
    return len(moves.apply(connection, back))


def discard(connection: Connection, ids: Sequence[str]) -> int:
    """End held messages as `undetermined` before their deadline does; a later summary still corrects that."""
    rows = connection.execute(
        text(f"SELECT m.id, m.attempt_id FROM messages m WHERE {_IS_HELD} AND m.id = ANY (:ids)"), {"ids": list(ids)}
    )
    ends = [Move(row.id, Event.SUMMARY_MISSING, row.attempt_id, reason=Reason.HISTORY_LOST) for row in rows]
    return len(moves.apply(connection, ends))


_SERVERS: Final = text("""
SELECT started_at, found_at, timeline, held FROM servers WHERE started_at > 'epoch' ORDER BY found_at DESC LIMIT 20
""")


def servers(connection: Connection) -> Sequence[RowMapping]:
    """The servers that held this database, the newest first."""
    return connection.execute(_SERVERS).mappings().all()
