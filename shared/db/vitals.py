"""What PostgreSQL tells of the service's health: few statements, each bounded however many messages there are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.db import speed
from shared.db.queries import daily_calls, ends, stops
from shared.db.queries.ends import Fallen
from shared.db.queries.quarantines import CALLED
from shared.db.queries.strays import CONTRADICTS, DROPPED
from shared.lifecycle import FINALS, Lane, Status
from shared.reasons import Reason
from shared.voice_api.code_labels import code_label
from shared.voice_api.pretence import PRETENDED_PREFIX

#: Counts end here: beyond it the number says no more, and must not cost more.
_MOST: Final = 10_000
#: The last so many events, of the last hour, are what shares are taken of; events are found by their ids' order.
_EVENTS: Final = 2_000

_OVERDUE: Final = text("""
SELECT s.status, GREATEST(0, EXTRACT(EPOCH FROM now() - (
  SELECT min(m.due_at) FROM messages m WHERE m.finished_at IS NULL AND m.status = s.status)))::float8 AS overdue_s
FROM unnest(CAST(:statuses AS text[])) AS s(status)
""")

#: Of a lane: from here on its messages are not counted, and those looked at are the ones of the first providers.
_MOST_WAITING: Final = 100_000
# Everything it reads stands in the queue's index.
_LANES: Final = text(f"""
SELECT l.lane, w.messages, EXTRACT(EPOCH FROM now() - w.oldest)::float8 AS oldest_s,
  EXTRACT(EPOCH FROM w.nearest - now())::float8 AS slack_s
FROM unnest(CAST(:lanes AS text[])) AS l(lane) CROSS JOIN LATERAL (
  SELECT count(*) AS messages, min(due_at) AS oldest, min(deadline) AS nearest
  FROM (SELECT due_at, deadline FROM messages m
    WHERE m.status = 'queued' AND m.lane = l.lane AND m.due_at <= now() LIMIT {_MOST_WAITING}) m) w
""")

_ENDPOINTS: Final = text(f"""
SELECT h.health, count(e.health) AS endpoints, COALESCE(sum(e.open), 0)::bigint AS callbacks
FROM unnest(ARRAY['healthy', 'failing', 'disabled']) AS h(health) LEFT JOIN (
  SELECT CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN failing_since IS NOT NULL THEN 'failing'
      ELSE 'healthy' END AS health,
    (SELECT count(*) FROM (SELECT FROM callbacks c
      WHERE c.endpoint_id = e.endpoint_id AND c.state IN ('due', 'sending') LIMIT {_MOST}) o) AS open
  FROM endpoints e WHERE e.deleted_at IS NULL) e USING (health)
GROUP BY h.health
""")

# Calls that were only pretended come last in the order of the ids.
_ERRORS: Final = text(f"""
SELECT error_code AS code, count(*) AS calls FROM (
  SELECT error_code, started_at FROM dial_attempts
  WHERE attempt_id < '{PRETENDED_PREFIX}' ORDER BY attempt_id DESC LIMIT {_EVENTS}) a
WHERE error_code IS NOT NULL AND started_at > now() - interval '1 hour' GROUP BY error_code
""")

_REST: Final = text(f"""
SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8 AS clock,
  doubts.messages AS dial_unknown_messages, doubts.oldest_s AS dial_unknown_oldest_s, doubts.held AS held_messages,
  unmatched.events AS unmatched_events, unmatched.oldest_s AS unmatched_oldest_s,
  strays.contradicting AS contradicting_events, strays.dropped AS dropped_events,
  (SELECT count(*) FROM (SELECT FROM webhook_inbox WHERE result = 'parked' LIMIT {_MOST}) p) AS parked_events,
  (SELECT count(*) FROM (SELECT FROM callbacks WHERE state = 'parked' LIMIT {_MOST}) p) AS parked_callbacks,
  (SELECT count(*) FROM (SELECT FROM endpoints
    WHERE failing_since IS NOT NULL AND disabled_at IS NULL AND warned_at >= failing_since LIMIT {_MOST}) f)
    AS failing_endpoints,
  (SELECT EXTRACT(EPOCH FROM now() - max(beat_at))::float8 FROM heartbeats WHERE process LIKE 'sweeper%')
    AS sweeper_silent_s,
  (SELECT count(*) FROM (SELECT FROM quarantines WHERE released_at IS NULL AND until > now() LIMIT {_MOST}) q)
    AS quarantined_ranges,
  (SELECT max(abs(clock_ahead_s)) FROM heartbeats WHERE beat_at > now() - interval '1 minute') AS sweeper_clock_off_s,
  (SELECT EXTRACT(EPOCH FROM now() - min(c.due_at))::float8 FROM endpoints e, LATERAL (
     SELECT due_at FROM callbacks WHERE endpoint_id = e.endpoint_id AND state IN ('due', 'sending')
     ORDER BY due_at LIMIT 1) c) AS callbacks_overdue_s,
  (SELECT EXTRACT(EPOCH FROM now() - min(due_at))::float8 FROM webhook_inbox WHERE processed_at IS NULL)
    AS webhooks_overdue_s,
  (SELECT count(*) FROM breakers) AS breakers_open,
  (SELECT COALESCE(sum(dialed), 0)::bigint FROM subaccounts) AS dials
FROM (
  SELECT count(*) AS messages, count(*) FILTER (WHERE reason = '{Reason.HISTORY_LOST}') AS held,
    EXTRACT(EPOCH FROM now() - min(updated_at))::float8 AS oldest_s
  FROM (SELECT reason, updated_at FROM messages
    WHERE finished_at IS NULL AND status = 'dial_unknown' AND lane <> '{Lane.TEST}' LIMIT {_MOST}) d
) doubts, (
  SELECT count(*) AS events, EXTRACT(EPOCH FROM now() - min(received_at))::float8 AS oldest_s
  FROM (SELECT received_at FROM webhook_inbox WHERE processed_at IS NULL AND session_id IS NOT NULL
    LIMIT {_MOST}) u
) unmatched, (
  SELECT count(*) FILTER (WHERE result = '{CONTRADICTS}') AS contradicting,
    count(*) FILTER (WHERE result = '{DROPPED}') AS dropped
  FROM (SELECT result FROM webhook_inbox WHERE result IN ('{CONTRADICTS}', '{DROPPED}')
    AND processed_at > now() - interval '1 hour' LIMIT {_MOST}) s
) strays
""")

_ENDED: Final = text(f"""
SELECT e.status, e.provider_id, m.country, count(*) AS messages, count(*) FILTER (WHERE {CALLED}) AS rang
FROM (SELECT status, provider_id, message_id, occurred_at FROM feed_events ORDER BY event_id DESC LIMIT {_EVENTS}) e
LEFT JOIN messages m ON m.id = e.message_id
WHERE e.occurred_at > now() - interval '1 hour' AND e.status = ANY (:finals)
  AND m.lane IS DISTINCT FROM '{Lane.TEST}'
GROUP BY e.status, e.provider_id, m.country
""")
#: Of fewer calls no share is told.
_FEW: Final = 20

#: For whoever does not know how many calls may be made in a day.
NO_CAPS: Final[Mapping[str, int | None]] = {"daily_calls": None, "provider_daily_calls": None}
#: Providers whose calls of the day are told, the fullest first.
_CALLERS: Final = 50


def read(connection: Connection, caps: Mapping[str, int | None] = NO_CAPS) -> dict[str, Any]:
    """Figures by name; ages and offsets in seconds, None where there is nothing to measure."""
    statuses = sorted(status for status in Status if status not in FINALS)
    overdue = connection.execute(_OVERDUE, {"statuses": statuses}).all()
    ended: Counter[str] = Counter()
    called: dict[tuple[str, str], _Called] = defaultdict(_Called)
    of_all = _Called()
    for row in connection.execute(_ENDED, {"finals": sorted(FINALS)}):
        ended[row.status] += row.messages
        heard = row.rang if row.status == Status.DELIVERED else 0
        for some in (of_all, called[row.provider_id, row.country or "unknown"]):
            some.rang += row.rang
            some.heard += heard
    calls = daily_calls.counted(connection, caps, limit=_CALLERS)
    return {
        "overdue_s": {row.status: row.overdue_s or 0.0 for row in overdue},
        **_lanes(connection),
        **_lately(connection),
        **_endpoints(connection),
        "call_errors": _errors(connection),
        **connection.execute(_REST).mappings().one(),
        "undetermined_share": ended[Status.UNDETERMINED] / ended.total() if ended else None,
        "answer_share": of_all.share,
        "answer_share_of": [
            {"provider": provider, "country": country, "share": some.share}
            for (provider, country), some in sorted(called.items())
            if some.rang >= _FEW
        ],
        **_fallen(ends.fallen(connection)),
        "stops": {f"{row['scope']} {row['name']}".rstrip(): 1 for row in stops.listed(connection)},
        "daily_calls": {row["name"]: row["calls"] for row in calls},
        "daily_cap_share": {
            row["name"]: row["share"] if row["cap"] else 1.0 for row in calls if row["cap"] is not None
        },
    }


def _lanes(connection: Connection) -> dict[str, dict[str, float]]:
    """What waits to be dialled now, by lane; no slack where nothing waits."""
    rows = connection.execute(_LANES, {"lanes": list(Lane)}).all()
    return {
        "waiting_messages": {row.lane: row.messages for row in rows},
        "oldest_waiting_s": {row.lane: row.oldest_s or 0.0 for row in rows},
        "deadline_slack_s": {row.lane: row.slack_s for row in rows if row.slack_s is not None},
    }


def _lately(connection: Connection) -> dict[str, Any]:
    """How soon phones rang lately, by lane."""
    rows = [row for row in speed.lately(connection) if row["lane"] != speed.ALL]
    return {
        "recent_messages": {row["lane"]: row["messages"] for row in rows},
        "deadline_hit_share": {row["lane"]: row["hit_rate"] for row in rows if row["hit_rate"] is not None},
        **{
            f"request_to_{what}_s": [
                {"lane": row["lane"], "quantile": quantile, "seconds": seconds}
                for row in rows
                for quantile, name in (("0.5", "p50"), ("0.95", "p95"))
                if (seconds := row[f"{what}_{name}_s"]) is not None
            ]
            for what in ("dial", "answer")
        },
    }


def _endpoints(connection: Connection) -> dict[str, dict[str, int]]:
    rows = connection.execute(_ENDPOINTS).all()
    return {
        "endpoints": {row.health: row.endpoints for row in rows},
        "open_callbacks": {row.health: row.callbacks for row in rows},
    }


def _errors(connection: Connection) -> dict[str, int]:
    errors: Counter[str] = Counter()
    for row in connection.execute(_ERRORS):
        errors[code_label(row.code)] += row.calls
    return dict(errors)


@dataclass(slots=True)
class _Called:
    """Calls that rang, as far as is known, and those of them that somebody heard."""

    rang: int = 0
    heard: int = 0

    @property
    def share(self) -> float | None:
        return self.heard / self.rang if self.rang else None


def _fallen(found: list[Fallen]) -> dict[str, Any]:
    return {
        "fallen": [str(one) for one in found],
        **{
            f"fallen_{what}_share": {f"{one.provider} {one.country}": one.share for one in found if one.what == what}
            for what in ("heard", "used")
        },
    }
