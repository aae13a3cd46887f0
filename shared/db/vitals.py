"""What PostgreSQL tells of the service's health: few statements, each bounded however many messages there are."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, text

from shared.db.queries import ends
from shared.db.queries.ends import Fallen
from shared.lifecycle import FINALS, Status
from shared.reasons import Reason

#: Counts end here: beyond it the number says no more, and must not cost more.
_MOST: Final = 10_000
#: The last so many events, of the last hour, are what shares are taken of; events are found by their ids' order.
_EVENTS: Final = 2_000

_OVERDUE: Final = text("""
SELECT s.status, GREATEST(0, EXTRACT(EPOCH FROM now() - (
  SELECT min(m.due_at) FROM messages m WHERE m.finished_at IS NULL AND m.status = s.status)))::float8 AS overdue_s
FROM unnest(CAST(:statuses AS text[])) AS s(status)
""")

_REST: Final = text(f"""
SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8 AS clock,
  doubts.messages AS dial_unknown_messages, doubts.oldest_s AS dial_unknown_oldest_s, doubts.held AS held_messages,
  unmatched.events AS unmatched_events, unmatched.oldest_s AS unmatched_oldest_s,
  (SELECT count(*) FROM (SELECT FROM webhook_inbox WHERE result = 'parked' LIMIT {_MOST}) p) AS parked_events,
  (SELECT count(*) FROM (SELECT FROM callbacks WHERE state = 'parked' LIMIT {_MOST}) p) AS parked_callbacks,
  (SELECT EXTRACT(EPOCH FROM now() - max(beat_at))::float8 FROM heartbeats WHERE process LIKE 'sweeper%')
    AS sweeper_silent_s,
  (SELECT count(*) FROM (SELECT FROM quarantines WHERE released_at IS NULL AND until > now() LIMIT {_MOST}) q)
    AS quarantined_ranges,
  (SELECT max(abs(clock_ahead_s)) FROM heartbeats WHERE beat_at > now() - interval '1 minute') AS sweeper_clock_off_s
FROM (
  SELECT count(*) AS messages, count(*) FILTER (WHERE reason = '{Reason.HISTORY_LOST}') AS held,
    EXTRACT(EPOCH FROM now() - min(updated_at))::float8 AS oldest_s
  FROM (SELECT reason, updated_at FROM messages WHERE finished_at IS NULL AND status = 'dial_unknown'
    LIMIT {_MOST}) d
) doubts, (
  SELECT count(*) AS events, EXTRACT(EPOCH FROM now() - min(received_at))::float8 AS oldest_s
  FROM (SELECT received_at FROM webhook_inbox WHERE processed_at IS NULL AND session_id IS NOT NULL
    LIMIT {_MOST}) u
) unmatched
""")

_ENDED: Final = text(f"""
SELECT status, count(*) AS messages
FROM (SELECT status, occurred_at FROM feed_events ORDER BY event_id DESC LIMIT {_EVENTS}) e
WHERE occurred_at > now() - interval '1 hour' AND status = ANY (:finals) GROUP BY status
""")
#: Ends of calls that rang, as far as is known.
_RANG: Final = (Status.DELIVERED, Status.NO_ANSWER, Status.BUSY, Status.CANCELED)


def read(connection: Connection) -> dict[str, Any]:
    """Figures by name; ages and offsets in seconds, None where there is nothing to measure."""
    statuses = sorted(status for status in Status if status not in FINALS)
    overdue = connection.execute(_OVERDUE, {"statuses": statuses}).all()
    ended = {row.status: row.messages for row in connection.execute(_ENDED, {"finals": sorted(FINALS)})}
    rang = sum(ended.get(status, 0) for status in _RANG)
    return {
        "overdue_s": {row.status: row.overdue_s or 0.0 for row in overdue},
        **connection.execute(_REST).mappings().one(),
        "undetermined_share": ended.get(Status.UNDETERMINED, 0) / sum(ended.values()) if ended else None,
        **_fallen(ends.fallen(connection)),
        "answer_share": ended.get(Status.DELIVERED, 0) / rang if rang else None,
    }


def _fallen(found: list[Fallen]) -> dict[str, Any]:
    return {
        "fallen": [str(one) for one in found],
        **{
            f"fallen_{what}_share": {f"{one.provider} {one.country}": one.share for one in found if one.what == what}
            for what in ("heard", "used")
        },
    }
