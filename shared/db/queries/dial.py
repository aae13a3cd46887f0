"""Step 2: claim messages to dial, inside what 8x8 and the operator allow, and record what the POSTs came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

from shared.db.prepared import Prepared
from shared.db.queries import moves
from shared.lifecycle import TRANSITIONS, Event, Lane, Move
from shared.voice_api.codes import Disposition, Reason


@dataclass(frozen=True, slots=True)
class Pace:
    """What limits a claim."""

    subaccount_id: str
    dials_per_second: float
    max_in_flight: int
    lease_s: float
    ring_s: float


@dataclass(frozen=True, slots=True)
class ClaimedCall:
    """A message that this worker alone may dial now."""

    message_id: str
    attempt_id: str
    number: int
    content: bytes
    source: str
    voice: str
    speed: float
    plays: int
    seconds_per_play: float
    interruptible: bool
    may_redial: bool  # should it be doubtful
    deadline: datetime
    valid_until: datetime
    now: datetime  # the database's clock at the claim


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim gave, and whether asking again soon would give more."""

    calls: list[ClaimedCall]
    room: int  # how many the pace allowed
    waiting: bool  # more was due than the room held, in a lane that may dial


#: Of an attempt *s*: 8x8 took its callflow, or may have.
MAYBE_ACCEPTED: Final = "(s.session_id IS NOT NULL OR s.disposition IS NULL OR s.disposition = 'unknown')"

#: Seconds that 8x8 may keep a callflow before it must have begun to dial.
_VALID_S: Final = 90
#: The bucket holds this many seconds of dials: what a pause may save up.
_BURST_S: Final = 0.2
#: Lanes other than otp leave this share of the capacity alone.
_OTP_RESERVE: Final = 0.2

# Both statements travel in one round trip. The lock comes first and alone, so that the second statement's snapshot
# sees every claim made before: the pace and the cap hold over all workers.
_CLAIM: Final = Prepared(
    "SELECT 1 FROM subaccounts WHERE subaccount_id = :subaccount_id FOR NO KEY UPDATE",
    f"""
WITH pace AS (
  SELECT LEAST(:burst, tokens + :rate * GREATEST(0, EXTRACT(EPOCH FROM clock.time - refilled_at))) AS tokens,
    clock.time
  FROM subaccounts, (SELECT clock_timestamp() AS time) AS clock WHERE subaccount_id = :subaccount_id
), account AS (
  SELECT probe_at <= now() AS may_probe FROM breakers WHERE scope = 'subaccount' AND name = :subaccount_id
), room AS (
  SELECT is_open, CASE WHEN is_open THEN GREATEST(0, LEAST(
    :wanted,
    floor(tokens)::int,
    :cap - (SELECT count(*) FROM messages WHERE busy_until > now())::int,
    (SELECT 1 FROM account)
  )) ELSE 0 END AS calls
  FROM pace, (SELECT COALESCE((SELECT may_probe FROM account), true)
    AND NOT EXISTS (SELECT FROM lanes WHERE lane = :lane AND paused_at IS NOT NULL) AS is_open) AS gate
), candidates AS (
  SELECT m.id, m.ctid, m.destination_key, m.deadline, b.id IS NOT NULL AS shares, k.name AS probed_source
  FROM messages m
  LEFT JOIN messages b ON b.busy_destination = m.destination_key
  LEFT JOIN breakers k ON k.scope = 'source' AND k.name = m.source
  WHERE m.status = 'queued' AND m.lane = :lane AND m.due_at <= now() AND m.deadline > now()
    AND (b.id IS NULL OR b.busy_until >= m.deadline)
    AND (k.name IS NULL OR k.probe_at <= now())
  ORDER BY m.deadline
  LIMIT COALESCE((SELECT calls FROM room), 0)
  FOR NO KEY UPDATE OF m SKIP LOCKED
), one_a_phone AS (
  SELECT DISTINCT ON (destination_key) * FROM candidates ORDER BY destination_key, deadline
), chosen AS (
  SELECT DISTINCT ON (COALESCE(probed_source, id)) * FROM one_a_phone ORDER BY COALESCE(probed_source, id), deadline
), claimed AS (
  UPDATE messages m SET
    status = 'dialing',
    attempt = m.attempt + 1,
    session_id = NULL,
    attempt_id = 'att_' || substr(m.id, 5) || '_' || (m.attempt + 1),
    due_at = now() + :lease_s * interval '1 second',
    busy_destination = CASE WHEN NOT c.shares THEN m.destination_key END,
    busy_until = now() + (:ring_s + m.plays * m.seconds_per_play) * interval '1 second',
    updated_at = now()
  FROM chosen c WHERE m.id = c.id AND m.ctid = c.ctid  -- locked above, so its place holds: no plan can scan for it
  RETURNING m.*, LEAST(m.deadline, now() + interval '{_VALID_S} seconds') AS valid_until
), attempts AS (
  INSERT INTO dial_attempts
    (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key, valid_until)
  SELECT attempt_id, id, attempt, :claim_id, :subaccount_id, source, destination_key, valid_until FROM claimed
), probed AS (
  UPDATE breakers SET probing = true, probe_at = now() + :lease_s * interval '1 second'
  WHERE probe_at <= now() AND (scope = 'subaccount' AND name = :subaccount_id AND EXISTS (SELECT FROM claimed)
    OR scope = 'source' AND name IN (SELECT source FROM claimed))
), spent AS (
  UPDATE subaccounts s SET tokens = p.tokens - (SELECT count(*) FROM claimed), refilled_at = p.time
  FROM pace p WHERE s.subaccount_id = :subaccount_id AND (EXISTS (SELECT FROM claimed) OR s.refilled_at > p.time)
)
SELECT r.calls AS room, c.*, now() AS claimed_at,
  c.redial_unknown AND 1 + (SELECT count(*) FROM dial_attempts s WHERE s.message_id = c.id AND {MAYBE_ACCEPTED})
    < c.max_attempts AS may_redial,
  r.is_open AND (SELECT count(*) FROM candidates) >= r.calls AND
  (SELECT deadline FROM messages WHERE status = 'queued' AND lane = :lane AND due_at <= now() AND deadline > now()
    ORDER BY deadline LIMIT 1) IS NOT NULL AS waiting
FROM room r LEFT JOIN claimed c ON true
ORDER BY c.deadline
""",
    subaccount_id="text",
    rate="float8",
    burst="float8",
    cap="int",
    lease_s="float8",
    ring_s="float8",
    lane="text",
    wanted="int",
    claim_id="text",
)


def claim(connection: Connection, pace: Pace, lane: Lane, *, wanted: int, claim_id: str) -> Claim:
    """
    Take up to *wanted* due messages of *lane*, earliest deadline first, and write an attempt row for each.

    Holds back for the dial rate, the cap on calls in flight, a paused lane, an open breaker and, unless waiting
    would cost the deadline, a destination that another call keeps busy.
    """
    reserve = 0 if lane is Lane.OTP else _OTP_RESERVE
    burst = max(1.0, pace.dials_per_second * _BURST_S)
    asked = {
        "subaccount_id": pace.subaccount_id,
        "rate": pace.dials_per_second,
        "burst": burst,
        "cap": max(1, round(pace.max_in_flight * (1 - reserve))),
        "lease_s": pace.lease_s,
        "ring_s": pace.ring_s,
        "lane": lane,
        "wanted": wanted,
        "claim_id": claim_id,
    }
    rows = _CLAIM(connection, **asked).all()
    if not rows:
        open_pace(connection, pace.subaccount_id, burst)  # the first claim of this subaccount ever
        rows = _CLAIM(connection, **asked).all()
    calls = [_claimed(row) for row in rows if row.id is not None]
    return Claim(calls, room=rows[0].room, waiting=rows[0].waiting)


def _claimed(row: Any) -> ClaimedCall:
    return ClaimedCall(
        message_id=row.id,
        attempt_id=row.attempt_id,
        number=row.attempt,
        content=bytes(row.content),
        source=row.source,
        voice=row.voice,
        speed=row.speed,
        plays=row.plays,
        seconds_per_play=row.seconds_per_play,
        interruptible=row.interruptible,
        may_redial=row.may_redial,
        deadline=row.deadline,
        valid_until=row.valid_until,
        now=row.claimed_at,
    )


_FORGET: Final = text("""
UPDATE dial_attempts a SET disposition = :disposition, reason = :reason
FROM messages m WHERE m.attempt_id = a.attempt_id AND m.status = ANY (:sources)
  AND a.claim_id = :claim_id
RETURNING m.id, a.attempt_id
""")


def give_back(connection: Connection, claim_id: str) -> list[moves.Moved]:
    """Back into the queue with a claim whose answer was lost: surely not dialled, as nobody knew of it."""
    reason = Reason.LEASE_LOST
    rows = connection.execute(
        _FORGET,
        {
            "claim_id": claim_id,
            "disposition": Disposition.NOT_SENT,
            "reason": reason,
            "sources": sorted(TRANSITIONS[Event.DIAL_POSTPONED].sources),
        },
    ).all()
    return moves.apply(
        connection, [Move(row.id, Event.DIAL_POSTPONED, row.attempt_id, reason=reason, due_in_s=0) for row in rows]
    )


def open_pace(connection: Connection, subaccount_id: str, tokens: float) -> None:
    """Make sure that the subaccount has its row to pace by; a new one may dial *tokens* calls at once."""
    connection.execute(
        text("INSERT INTO subaccounts (subaccount_id, tokens) VALUES (:id, :tokens) ON CONFLICT DO NOTHING"),
        {"id": subaccount_id, "tokens": tokens},
    )


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


_RECORD: Final = Prepared(
    """
WITH replies AS (
  SELECT * FROM json_to_recordset(:replies) AS x(
    attempt_id text, disposition text, reason text, status_code bigint, status_message text,
    session_id text)
), recorded AS (
  UPDATE dial_attempts a SET
    replied_at = now(), disposition = r.disposition, reason = r.reason,
    status_code = r.status_code, status_message = r.status_message, session_id = COALESCE(a.session_id, r.session_id)
  FROM replies r WHERE a.attempt_id = r.attempt_id
)
UPDATE webhook_inbox i SET due_at = now()
FROM replies r WHERE i.session_id = r.session_id AND i.processed_at IS NULL
RETURNING i.inbox_id
""",
    replies="json",
)


def record(connection: Connection, results: Sequence[DialResult]) -> tuple[list[moves.Moved], bool]:
    """
    Store what the POSTs came to.

    Returns:
        The messages that moved, and whether a webhook of one of these sessions already waits in the inbox.
    """
    moved = moves.apply(connection, [result.move for result in results])
    replies = [{name: getattr(result, name) for name in DialResult.__slots__ if name != "move"} for result in results]
    early = _RECORD(connection, replies=to_json(replies).decode()).first()
    return moved, early is not None


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
