"""Step 2 for test messages: claim them beside all that holds live ones back, and record what is pretended of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json
from sqlalchemy import Connection

from shared.db.prepared import Prepared
from shared.db.queries import dial
from shared.db.queries.claimed import ClaimedCall, claimed
from shared.db.queries.inbox import RawEvent
from shared.lifecycle import Lane
from shared.voice_api.pretence import PRETENDED_PREFIX, PRETENDED_SUBACCOUNT

# No pace, no calls in flight, no breaker, no busy phone, no fence after a failover: no phone rings, so a doubt or a
# second "call" disturbs nobody. Providers take turns, each by deadline; they are found as the claim of live ones does.
_CLAIM: Final = Prepared(
    f"""
WITH RECURSIVE waiting AS (
  (SELECT provider_id FROM messages WHERE status = 'queued' AND lane = '{Lane.TEST}' ORDER BY provider_id LIMIT 1)
  UNION ALL
  SELECT (SELECT provider_id FROM messages m
    WHERE m.status = 'queued' AND m.lane = '{Lane.TEST}' AND m.provider_id > w.provider_id
    ORDER BY provider_id LIMIT 1)
  FROM waiting w WHERE w.provider_id IS NOT NULL
), candidates AS MATERIALIZED (
  SELECT h.* FROM waiting w CROSS JOIN LATERAL (
    SELECT m.id, m.deadline, row_number() OVER (ORDER BY m.deadline) AS place FROM messages m
    WHERE m.status = 'queued' AND m.lane = '{Lane.TEST}' AND m.provider_id = w.provider_id
      AND m.due_at <= now() AND m.deadline > now()
    ORDER BY m.deadline LIMIT :wanted) h
), chosen AS MATERIALIZED (
  SELECT m.id FROM (SELECT * FROM candidates ORDER BY place, deadline) c CROSS JOIN LATERAL (
    SELECT m.id FROM messages m WHERE m.id = c.id AND m.status = 'queued' FOR NO KEY UPDATE SKIP LOCKED) m
  WHERE NOT EXISTS (SELECT FROM lanes WHERE lane = '{Lane.TEST}' AND paused_at IS NOT NULL)
  LIMIT :wanted
), claimed AS (
  UPDATE messages m SET
    status = 'dialing',
    attempt = m.attempt + 1,
    session_id = NULL,
    attempt_id = '{PRETENDED_PREFIX}' || substr(m.id, 5) || '_' || (m.attempt + 1),
    due_at = now() + :lease_s * interval '1 second',
    updated_at = now()
  FROM chosen c WHERE m.id = c.id
  RETURNING m.id, m.provider_id, m.country, m.attempt_id, m.attempt, m.content, m.source, m.voice, m.speed, m.plays,
    m.seconds_per_play, m.interruptible, m.deadline, m.destination_key, m.traceparent,
    LEAST(m.deadline, now() + interval '90 seconds') AS valid_until
), attempts AS (
  INSERT INTO dial_attempts
    (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key, valid_until)
  SELECT attempt_id, id, attempt, :claim_id, '{PRETENDED_SUBACCOUNT}', source, destination_key, valid_until
  FROM claimed
)
SELECT c.*, now() AS claimed_at, false AS may_redial, false AS probes, false AS is_suppressed, NULL AS quiet_hours
FROM claimed c
""",
    wanted="int",
    claim_id="text",
    lease_s="float8",
)


def claim(connection: Connection, *, wanted: int, lease_s: float, claim_id: str) -> list[ClaimedCall]:
    """Take up to *wanted* due test messages and write an attempt row for each."""
    return [claimed(row, Lane.TEST) for row in _CLAIM(connection, wanted=wanted, lease_s=lease_s, claim_id=claim_id)]


@dataclass(frozen=True, slots=True)
class LaterEvent:
    """A webhook that nobody sent, to be handled in so many seconds."""

    event: RawEvent
    due_in_s: float


_KEEP_FOR_LATER: Final = Prepared(
    """
INSERT INTO webhook_inbox (dedupe_key, body, named_session_id, due_at)
SELECT dedupe_key, decode(body, 'base64'), session_id, now() + due_in_s * interval '1 second'
FROM json_to_recordset(:rows) AS x(dedupe_key text, body text, session_id text, due_in_s float8)
ON CONFLICT DO NOTHING
""",
    rows="json",
)


def record(connection: Connection, results: Sequence[dial.DialResult], events: Sequence[LaterEvent]) -> None:
    """Store what the dials came to, and the webhooks to come: all of it or nothing, and twice is once."""
    dial.record(connection, results)
    rows = [
        {
            "dedupe_key": one.event.dedupe_key,
            "body": base64.b64encode(one.event.body).decode(),
            "session_id": one.event.session_id,
            "due_in_s": one.due_in_s,
        }
        for one in events
    ]
    _KEEP_FOR_LATER(connection, rows=to_json(rows).decode())
