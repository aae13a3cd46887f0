"""Step 5: claim callbacks, endpoint by endpoint, and record what each POST to a provider came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

from shared.db.prepared import Prepared


@dataclass(frozen=True, slots=True)
class ClaimedCallback:
    """A callback that this worker alone may send until its lease ends."""

    callback_id: str
    attempts: int  # this one included
    failures_forgiven: int  # attempts made before the last resend was asked for
    endpoint_id: str
    url: str
    secret: bytes  # sealed
    is_failing: bool
    event_id: str
    type: str
    sequence: int
    occurred_at: datetime
    status: str
    reason: str | None
    facts: dict[str, Any]
    id: str
    message_id: str
    lane: str
    test_type: str | None
    destination_masked: str
    metadata: dict[str, str]
    old_secret: bytes | None = None  # sealed; signs, too, while a rotation lasts
    traceparent: str | None = None  # of the message's trace

    @property
    def ids(self) -> dict[str, str | None]:
        """What it is called in logs."""
        known = {"callback_id": self.callback_id, "event_id": self.event_id, "endpoint_id": self.endpoint_id}
        return known | {"message_id": self.id, "session_id": self.facts.get("sessionId")}


#: Of an endpoint *e*: the secret before, as long as it counts.
OLD_SECRET: Final = "CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret"  # noqa: S105  SQL

# The endpoints with work are found by skipping along the partial index, so that one with a long backlog hides nobody,
# and share the claim, so that few more rows are locked than taken. Failing ones get a few, each and together, so that
# their timeouts never fill the senders.
_CLAIM: Final = Prepared(
    f"""
WITH RECURSIVE open AS (
  (SELECT endpoint_id, due_at FROM callbacks WHERE state IN ('due', 'sending') ORDER BY endpoint_id, due_at LIMIT 1)
  UNION ALL
  SELECT c.endpoint_id, c.due_at FROM open o CROSS JOIN LATERAL (
    SELECT endpoint_id, due_at FROM callbacks WHERE state IN ('due', 'sending') AND endpoint_id > o.endpoint_id
    ORDER BY endpoint_id, due_at LIMIT 1
  ) c
), due AS (
  SELECT endpoint_id, e.failing_since IS NULL AS is_well, :wanted / count(*) OVER () + 1 AS fair_share
  FROM open o JOIN endpoints e USING (endpoint_id)
  WHERE o.due_at <= now() AND endpoint_id <> ALL (:busy_endpoints)
), ranked AS (
  SELECT c.callback_id, c.due_at, d.is_well, row_number() OVER (PARTITION BY d.is_well ORDER BY c.due_at) AS place
  FROM due d CROSS JOIN LATERAL (
    SELECT callback_id, due_at FROM callbacks
    WHERE endpoint_id = d.endpoint_id AND state IN ('due', 'sending') AND due_at <= now()
    ORDER BY due_at LIMIT LEAST(d.fair_share, CASE WHEN d.is_well THEN :share ELSE :failing_share END)
    FOR NO KEY UPDATE SKIP LOCKED
  ) c
), picked AS (
  SELECT callback_id FROM ranked WHERE is_well OR place <= :failing ORDER BY due_at LIMIT :wanted
), claimed AS (
  UPDATE callbacks c SET state = 'sending', attempts = c.attempts + 1,
    due_at = now() + :lease_s * interval '1 second'
  WHERE c.callback_id = ANY (ARRAY(SELECT callback_id FROM picked))
  RETURNING c.callback_id, c.attempts, c.failures_forgiven, c.endpoint_id, c.event_id
), opened AS (
  INSERT INTO delivery_attempts (callback_id, number) SELECT callback_id, attempts FROM claimed
)
SELECT c.callback_id, c.attempts, c.failures_forgiven, c.endpoint_id, e.url, e.secret, {OLD_SECRET},
  e.failing_since IS NOT NULL AS is_failing, f.event_id, f.type, f.sequence, f.occurred_at, f.status, f.reason, f.facts,
  m.id, m.message_id, m.lane, m.test_type, m.destination_masked, m.metadata, m.traceparent
FROM claimed c JOIN endpoints e USING (endpoint_id) JOIN feed_events f USING (event_id)
JOIN messages m ON m.id = f.message_id
ORDER BY f.sequence
""",
    wanted="int",
    share="int",
    failing="int",
    failing_share="int",
    lease_s="float8",
    busy_endpoints="text[]",
)


@dataclass(frozen=True, slots=True)
class Shares:
    """How much one claim may take."""

    wanted: int
    endpoint: int  # of a healthy endpoint
    failing: int  # of all failing endpoints together
    failing_endpoint: int


def claim(
    connection: Connection, shares: Shares, *, lease_s: float, busy_endpoints: Sequence[str]
) -> list[ClaimedCallback]:
    """
    Take due callbacks, those longest due first, leaving out the endpoints that this process is busy with.

    A callback whose lease ran out is due again: its worker may have sent it, so it goes out once more with the same
    ``webhook-id``.
    """
    rows = _CLAIM(
        connection,
        wanted=shares.wanted,
        share=shares.endpoint,
        failing=shares.failing,
        failing_share=shares.failing_endpoint,
        lease_s=lease_s,
        busy_endpoints=list(busy_endpoints),
    )
    return [claimed(row, **row._asdict()) for row in rows]


def claimed(row: Any, **values: Any) -> ClaimedCallback:
    """A callback out of a row's *values*, its secrets as bytes."""
    old = None if row.old_secret is None else bytes(row.old_secret)
    return ClaimedCallback(**(values | {"secret": bytes(row.secret), "old_secret": old}))


@dataclass(frozen=True, slots=True)
class HandOver:
    """How many new callbacks may be claimed by whoever writes them, in the same statement."""

    room: int
    busy_endpoints: Sequence[str]
    lease_s: float


#: All are left to others.
NOTHING: Final = HandOver(0, (), 0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one POST to an endpoint came to."""

    callback_id: str
    number: int
    endpoint_id: str
    state: str  # done, due or parked
    due_in_s: float | None  # of state due
    elapsed_ms: int
    http_status: int | None
    error: str | None
    reply: str | None
    disables: bool = False  # the endpoint said 410


_RECORD: Final = Prepared(
    """
WITH rows AS (
  SELECT * FROM json_to_recordset(:rows) AS x(
    callback_id text, number int2, endpoint_id text, state text, due_in_s float8, elapsed_ms int, http_status int,
    error text, reply text, disables boolean)
), told AS (
  UPDATE delivery_attempts d
  SET elapsed_ms = r.elapsed_ms, http_status = r.http_status, error = r.error, reply = r.reply
  FROM rows r WHERE d.callback_id = r.callback_id AND d.number = r.number
), health AS (
  SELECT endpoint_id, bool_or(state = 'done') AS is_well, bool_or(state <> 'done') AS has_failed,
    bool_or(disables) AS is_gone, max(error) FILTER (WHERE state <> 'done') AS error
  FROM rows GROUP BY endpoint_id
), endpoint AS (
  UPDATE endpoints e SET
    failing_since = CASE WHEN h.is_well THEN NULL ELSE COALESCE(e.failing_since, now()) END,
    disabled_at = CASE WHEN h.is_gone THEN COALESCE(e.disabled_at, now()) ELSE e.disabled_at END,
    disabled_reason = CASE WHEN h.is_gone THEN 'answered 410 Gone' ELSE e.disabled_reason END,
    last_success_at = CASE WHEN h.is_well THEN now() ELSE e.last_success_at END,
    last_failure_at = CASE WHEN h.has_failed THEN now() ELSE e.last_failure_at END,
    last_failure = CASE WHEN h.has_failed THEN h.error ELSE e.last_failure END
  FROM health h WHERE e.endpoint_id = h.endpoint_id AND (h.is_gone OR h.has_failed OR e.failing_since IS NOT NULL
    OR e.last_success_at IS NULL OR e.last_success_at < now() - interval '1 minute')
), closed AS (
  UPDATE callbacks c SET state = 'parked', due_at = NULL, finished_at = now()
  FROM health h WHERE h.is_gone AND c.endpoint_id = h.endpoint_id AND c.state IN ('due', 'sending')
    AND c.callback_id NOT IN (SELECT callback_id FROM rows)
)
UPDATE callbacks c SET state = r.state, due_at = now() + r.due_in_s * interval '1 second',
  finished_at = CASE WHEN r.state IN ('done', 'parked') THEN now() END
FROM (
  SELECT r.callback_id, r.number, CASE WHEN h.is_gone AND r.state = 'due' THEN 'parked' ELSE r.state END AS state,
    CASE WHEN NOT h.is_gone THEN r.due_in_s END AS due_in_s
  FROM rows r JOIN health h USING (endpoint_id)
) r WHERE c.callback_id = r.callback_id AND c.state = 'sending' AND c.attempts = r.number
""",
    rows="json",
)


def record(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Store what the POSTs came to. A worker that lost its lease changes only its own attempt's row."""
    rows = [{name: getattr(delivery, name) for name in Delivery.__slots__} for delivery in deliveries]
    _RECORD(connection, rows=to_json(rows).decode())


_RELEASE: Final = text("""
WITH rows AS (
  SELECT * FROM json_to_recordset(:rows) AS x(callback_id text, number int2)
), released AS (
  UPDATE callbacks c SET state = 'due', due_at = now(), attempts = c.attempts - 1
  FROM rows r WHERE c.callback_id = r.callback_id AND c.state = 'sending' AND c.attempts = r.number
  RETURNING c.callback_id, r.number
)
DELETE FROM delivery_attempts d USING released r WHERE d.callback_id = r.callback_id AND d.number = r.number
""")


def release(connection: Connection, unsent: Sequence[tuple[str, int]]) -> None:
    """Give back callbacks (id, attempt number) that were claimed but not sent."""
    rows = [{"callback_id": callback_id, "number": number} for callback_id, number in unsent]
    connection.execute(_RELEASE, {"rows": to_json(rows).decode()})


_REOPEN: Final = """
UPDATE callbacks c SET state = 'due', due_at = now(), finished_at = NULL, failures_forgiven = c.attempts
FROM feed_events f WHERE f.event_id = c.event_id AND c.state IN ('parked', 'done')
"""


def state_of(connection: Connection, callback_id: str) -> str | None:
    """Where a callback stands; None when there is no such callback."""
    found = text("SELECT state FROM callbacks WHERE callback_id = :id")
    state: str | None = connection.execute(found, {"id": callback_id}).scalar()
    return state


def resend(connection: Connection, callback_id: str) -> bool:
    """Make one callback due again, from the schedule's start; False when there is none to resend."""
    row = connection.execute(
        text(_REOPEN + " AND c.callback_id = :id RETURNING c.callback_id"), {"id": callback_id}
    ).first()
    return row is not None


def recover(connection: Connection, provider_id: str, since: datetime, until: datetime) -> int:
    """Make every parked callback of a provider's events in a time range due again; says how many."""
    rows = connection.execute(
        text(
            _REOPEN + " AND c.state = 'parked' AND f.provider_id = :provider_id"
            " AND f.occurred_at >= :since AND f.occurred_at < :until"
        ),
        {"provider_id": provider_id, "since": since, "until": until},
    )
    return rows.rowcount
