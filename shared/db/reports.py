"""
Reads for people: the command line, the status API and the dashboard. Nothing here writes or decides.

One message's whole story is in ``story``, the conservation audit in ``conservation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text

from shared.db.queries.pacing import allowed
from shared.lifecycle import Lane
from shared.pacing import Pace, dials_per_second

Row = RowMapping

_MOMENT: Final = text("SELECT now()")


def moment(connection: Connection) -> datetime:
    """When the transaction began, by PostgreSQL's clock."""
    began: datetime = connection.execute(_MOMENT).scalar_one()
    return began


_LANES: Final = text("""
SELECT l.lane, p.paused_at,
  count(m.id) FILTER (WHERE m.due_at <= now()) AS waiting,
  count(m.id) FILTER (WHERE m.due_at > now()) AS waiting_later,
  EXTRACT(EPOCH FROM now() - min(m.due_at) FILTER (WHERE m.due_at <= now()))::float8 AS oldest_overdue_s
FROM unnest(CAST(:lanes AS text[])) WITH ORDINALITY AS l(lane, place)
LEFT JOIN lanes p USING (lane) LEFT JOIN messages m ON m.status = 'queued' AND m.lane = l.lane
GROUP BY l.lane, l.place, p.paused_at ORDER BY l.place
""")


def lanes(connection: Connection) -> Sequence[Row]:
    """Each lane: what waits now and later, seconds since the oldest was due, since when it is paused."""
    return connection.execute(_LANES, {"lanes": list(Lane)}).mappings().all()


_OPEN_MESSAGES: Final = text("""
SELECT status, count(*) AS messages,
  GREATEST(0, EXTRACT(EPOCH FROM now() - min(due_at)))::float8 AS oldest_overdue_s
FROM messages WHERE finished_at IS NULL GROUP BY status ORDER BY status
""")


def open_messages(connection: Connection) -> Sequence[Row]:
    """The messages that are not final, by status; and how long the oldest has been due, in seconds."""
    return connection.execute(_OPEN_MESSAGES).mappings().all()


def calls_in_flight(connection: Connection) -> int:
    """Calls that may be ringing or speaking, as the cap MAX_CALLS_IN_FLIGHT counts them."""
    return int(connection.execute(text("SELECT count(*) FROM messages WHERE busy_until > now()")).scalar_one())


def _is_set(row: Mapping[str, Any]) -> bool:
    """Whether an operator has set a limit."""
    return row.get("pace_set") is not None or row.get("lines_set") is not None


_LIMITS: Final = text("""
SELECT dialed, pace_set, lines_set, limits_set_by, limits_set_at, lines, lines_refused,
  lines_cut_at, pace_refused, pace_cut_at,
  EXTRACT(EPOCH FROM now() - pace_cut_at)::float8 AS pace_quiet_s,
  GREATEST(0, EXTRACT(EPOCH FROM held_until - now()))::float8 AS held_s
FROM subaccounts WHERE subaccount_id = :subaccount_id
""")


def limits(connection: Connection, pace: Pace) -> dict[str, Any]:
    """What a subaccount may dial now, as far as 8x8 was found to bear less than the settings allow."""
    found = connection.execute(_LIMITS, {"subaccount_id": pace.subaccount_id}).mappings().one_or_none()
    row: dict[str, Any] = {} if found is None else dict(found)
    quiet_s = max(0.0, row.get("pace_quiet_s") or 0.0)
    pace = allowed(pace, row.get("pace_set"), row.get("lines_set"))
    return {
        "dialed": row.get("dialed", 0),
        "lines": min(row.get("lines") or pace.max_in_flight, pace.max_in_flight),
        "lines_refused": row.get("lines_refused"),
        "lines_cut_at": row.get("lines_cut_at"),
        "dials_per_second": dials_per_second(pace.dials_per_second, row.get("pace_refused"), quiet_s=quiet_s),
        "pace_refused": row.get("pace_refused"),
        "pace_cut_at": row.get("pace_cut_at"),
        "held_s": row.get("held_s") or 0.0,
        "pace_set": row.get("pace_set"),
        "lines_set": row.get("lines_set"),
        "allowed_dials_per_second": pace.dials_per_second,
        "allowed_calls_in_flight": pace.max_in_flight,
        "set_by": row.get("limits_set_by") if _is_set(row) else None,
        "set_at": row.get("limits_set_at") if _is_set(row) else None,
    }


_BREAKERS: Final = text("""
SELECT scope, name, reason, failures, opened_at, probe_at FROM breakers ORDER BY scope, name
""")


def breakers(connection: Connection) -> Sequence[Row]:
    """The subaccounts and caller ids that 8x8 refuses at present."""
    return connection.execute(_BREAKERS).mappings().all()


# Only what is open has an index, and what is done is most of the table: the parked are counted by a scan.
_CALLBACK_STATES: Final = text("""
SELECT state, count(*) AS callbacks,
  EXTRACT(EPOCH FROM now() - min(CASE WHEN state = 'parked' THEN finished_at ELSE due_at END))::float8
    AS oldest_s
FROM callbacks WHERE state <> 'done' GROUP BY state
""")


def callback_states(connection: Connection) -> Sequence[Row]:
    """Callbacks that are not done, by state; seconds since the oldest was due or parked; ahead: negative."""
    return connection.execute(_CALLBACK_STATES).mappings().all()


_INBOX: Final = text("""
SELECT count(*) AS unprocessed,
  count(session_id) AS unmatched,
  GREATEST(0, EXTRACT(EPOCH FROM now() - min(due_at)))::float8 AS oldest_overdue_s,
  EXTRACT(EPOCH FROM now() - min(received_at))::float8 AS oldest_s,
  EXTRACT(EPOCH FROM now() - min(received_at) FILTER (WHERE session_id IS NOT NULL))::float8
    AS oldest_unmatched_s
FROM webhook_inbox WHERE processed_at IS NULL
""")


def inbox(connection: Connection) -> Row:
    """The kept webhooks that nobody has reconciled yet, and their ages in seconds."""
    return connection.execute(_INBOX).mappings().one()


_SWEEPER: Final = text("""
SELECT EXTRACT(EPOCH FROM now() - max(beat_at))::float8 FROM heartbeats WHERE process LIKE 'sweeper%'
""")


def sweeper_silence(connection: Connection) -> float | None:
    """Seconds since a sweeper last gave a sign of life; None when none ever did."""
    silence: float | None = connection.execute(_SWEEPER).scalar()
    return silence


_PARKED_CALLBACKS: Final = text("""
SELECT c.callback_id, f.provider_id, p.name AS provider, m.message_id, m.id, f.type, e.url, e.disabled_at,
  c.attempts, c.finished_at AS parked_at,
  (SELECT COALESCE(d.error, 'HTTP ' || d.http_status) FROM delivery_attempts d
   WHERE d.callback_id = c.callback_id ORDER BY d.number DESC LIMIT 1) AS last_error
FROM callbacks c JOIN feed_events f USING (event_id) JOIN endpoints e USING (endpoint_id)
JOIN messages m ON m.id = c.message_id LEFT JOIN providers p ON p.provider_id = f.provider_id
WHERE c.state = 'parked' ORDER BY c.finished_at LIMIT :limit
""")


def parked_callbacks(connection: Connection, limit: int) -> Sequence[Row]:
    """Callbacks whose schedule is used up or whose endpoint is disabled, longest parked first."""
    return connection.execute(_PARKED_CALLBACKS, {"limit": limit}).mappings().all()


_PARKED_EVENTS: Final = text("""
(SELECT inbox_id, 'parked' AS state, session_id, attempts, received_at, processed_at, NULL AS due_at
 FROM webhook_inbox WHERE processed_at IS NOT NULL AND result = 'parked' ORDER BY inbox_id LIMIT :limit)
UNION ALL
(SELECT inbox_id, 'unmatched', session_id, attempts, received_at, processed_at, due_at
 FROM webhook_inbox WHERE processed_at IS NULL AND session_id IS NOT NULL ORDER BY inbox_id LIMIT :limit)
""")


def parked_events(connection: Connection, limit: int) -> Sequence[Row]:
    """Kept webhooks that were set aside as poison, or whose call session nobody knows yet."""
    return connection.execute(_PARKED_EVENTS, {"limit": limit}).mappings().all()


_RECOVERABLE: Final = text("""
SELECT count(*) FROM callbacks c JOIN feed_events f USING (event_id)
WHERE c.state = 'parked' AND f.provider_id = :provider_id
  AND f.occurred_at >= :since AND f.occurred_at < :until
""")


def recoverable_callbacks(connection: Connection, provider_id: str, since: datetime, until: datetime) -> int:
    """How many callbacks `callbacks recover` would send again."""
    asked = {"provider_id": provider_id, "since": since, "until": until}
    return int(connection.execute(_RECOVERABLE, asked).scalar_one())


_SERVER: Final = text("""
SELECT current_setting('server_version_num')::int / 10000 AS major,
  current_setting('server_version') AS version, clock_timestamp() AS clock
""")


def server(connection: Connection) -> Row:
    """PostgreSQL's version and clock."""
    return connection.execute(_SERVER).mappings().one()
