"""Step 2: claim messages to dial: the most urgent first, providers in fair shares, inside what 8x8 bears."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from shared import failpoints, pacing
from shared.db.prepared import Prepared
from shared.db.queries import daily_calls, failover, moves, stops, suppressions
from shared.db.queries.claimed import Claim, claimed
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.db.queries.pacing import BURST, GROWN, KEPT, RATE, open_pace
from shared.lifecycle import TRANSITIONS, Event, Lane, Move
from shared.pacing import Pace
from shared.stops import Scope, Stop
from shared.voice_api.codes import Disposition, Reason

#: Seconds that 8x8 may keep a callflow before it must have begun to dial.
_VALID_S: Final = 90

#: Message *m* may be dialled now: due, not too late, its phone not busy unless waiting would cost the deadline, its
#: caller id not refused. As subselects, not as joins: a planner with stale statistics could sort a whole queue.
_DIALABLE: Final = """m.due_at <= now() AND m.deadline > now()
      AND COALESCE(
        (SELECT b.busy_until >= m.deadline FROM messages b WHERE b.busy_destination = m.destination_key), true)
      AND COALESCE((SELECT k.probe_at <= now() FROM breakers k WHERE k.scope = 'source' AND k.name = m.source), true)"""

#: Other lanes than otp take nothing while somebody dials that lane and a message there could be dialled.
_GIVES_WAY: Final = f"""COALESCE(s.otp_claimed_at > now() - interval '{pacing.OTP_CLAIMED_S} seconds', false)
    AND NOT EXISTS (SELECT FROM lanes WHERE lane = 'otp' AND paused_at IS NOT NULL)
    AND EXISTS (SELECT FROM messages m
      WHERE m.status = 'queued' AND m.lane = 'otp' AND {_DIALABLE})"""

#: The quiet hours that message *c* keeps: notifications all, alerts where its provider's do, otps never. Each
#: provider's row is read once.
_QUIET: Final = "(SELECT q.quiet_hours FROM quiet q WHERE q.provider_id = c.provider_id)"

# The statement locks the subaccount's row, so that the pace and the cap hold over all workers. It takes nothing while
# somebody else holds the lock, nor when the row, read anew with the lock, tells of dials that its snapshot does not
# know. Then the lock is taken first and alone, in the same round trip as the statement, whose snapshot thus sees every
# claim made before.
#
# Providers with work are found by a loose index scan, and the head of each one's queue is looked at. The next place
# is that of the provider with the fewest calls up, then the most urgent. One provider's queue is thus dialled by
# deadline; of several, a long one delays no short one. What is looked at per provider is bounded: a claim may come
# out smaller than its room, and is then repeated.
#
# How many calls are up is counted where it decides something: near the cap, or where several providers wait. Elsewhere
# the last count and all claims since will do, as only claims add calls: thousands up cost milliseconds to count.
#
# The same holds for the row that counts all providers' calls of the day, which claims for other subaccounts lock, too:
# whoever has both is alone with every cap. A provider's head is no longer than what is left of its cap.
_LOCK: Final = f"""SELECT 1 FROM subaccounts s, daily_calls d
WHERE s.subaccount_id = :subaccount_id AND d.name = '{daily_calls.ALL}' FOR NO KEY UPDATE OF s, d"""
_STATEMENT: Final = """
WITH RECURSIVE account AS MATERIALIZED (
  SELECT s.*, GREATEST(1, floor(s.lines * :share))::int AS cap,
    LEAST({burst}, s.saved + s.rate * s.elapsed_s) AS tokens, {kept} AS kept
  FROM (
    SELECT c.time, s.tokens AS saved, {rate} AS rate, s.lines_refused AS refused, s.lines IS NOT NULL AS adapts,
      LEAST(COALESCE(s.lines_set, :max_in_flight), s.lines)::float8 AS lines,
      COALESCE(s.lines_set, :max_in_flight)::float8 AS most,
      GREATEST(0, EXTRACT(EPOCH FROM c.time - s.lines_cut_at))::float8 AS quiet_s,
      GREATEST(0, EXTRACT(EPOCH FROM c.time - s.refilled_at))::float8 AS elapsed_s,
      GREATEST(0, EXTRACT(EPOCH FROM s.held_until - c.time))::float8 AS held_s,
      {gives_way} AS gives_way,
      s.dialed - (SELECT dialed FROM subaccounts WHERE subaccount_id = :subaccount_id)
        + d.turns - (SELECT turns FROM daily_calls WHERE name = '{all}') AS unseen,
      d.turns, CASE WHEN d.turns >= s.flown_turns THEN s.flown + d.turns - s.flown_turns END AS flown_at_most,
      GREATEST(d.day, (c.time AT TIME ZONE 'UTC')::date) AS today,
      CASE WHEN d.day >= (c.time AT TIME ZONE 'UTC')::date THEN d.calls ELSE 0 END AS called,
      (SELECT CASE WHEN probe_at <= now() THEN 1 ELSE 0 END FROM breakers
        WHERE scope = 'subaccount' AND name = :subaccount_id) AS probes,
      x.is_all OR EXISTS (SELECT FROM lanes WHERE lane = :lane AND paused_at IS NOT NULL) AS paused,
      x.providers AS stopped, x.stops
    FROM subaccounts s, daily_calls d, {stops} AS x, (SELECT clock_timestamp() AS time) AS c
    WHERE s.subaccount_id = :subaccount_id AND d.name = '{all}' AND {known_server}
    FOR NO KEY UPDATE OF s, d SKIP LOCKED) s
  WHERE s.unseen = 0
), waiting AS (
  (SELECT provider_id FROM messages WHERE status = 'queued' AND lane = :lane ORDER BY provider_id LIMIT 1)
  UNION ALL
  SELECT (SELECT provider_id FROM messages m
    WHERE m.status = 'queued' AND m.lane = :lane AND m.provider_id > w.provider_id ORDER BY provider_id LIMIT 1)
  FROM waiting w WHERE w.provider_id IS NOT NULL
), counting AS MATERIALIZED (
  SELECT flown_at_most, COALESCE(flown_at_most + :wanted >= cap, true)
    OR (SELECT count(provider_id) FROM waiting) > 1 AS is_counted
  FROM account
), flying AS MATERIALIZED (
  SELECT provider_id, count(*)::int AS calls FROM messages
  WHERE busy_until > now() AND (SELECT is_counted FROM counting) GROUP BY provider_id
), room AS MATERIALIZED (
  SELECT r.*, 1 + LEAST(r.calls + r.calls / 8, GREATEST(r.calls / 8, 2 * r.calls / GREATEST(1, r.providers))) AS depth
  FROM (
    SELECT a.*, f.flying, f.is_counted, w.providers,
      NOT a.paused AND COALESCE(a.probes, 1) > 0 AND COALESCE(a.called < :daily_calls, true) AS is_open,
      CASE WHEN a.paused OR a.gives_way OR a.held_s > 0 THEN 0
        ELSE GREATEST(0, LEAST(:wanted, floor(a.tokens - a.kept)::int, a.cap - f.flying, a.probes,
          :daily_calls - a.called)) END AS calls
    FROM account a,
      (SELECT is_counted, CASE WHEN is_counted THEN (SELECT COALESCE(sum(calls), 0) FROM flying)
        ELSE flown_at_most END::int AS flying FROM counting) AS f,
      (SELECT count(provider_id)::int AS providers FROM waiting) AS w
    OFFSET 0) r
), queues AS MATERIALIZED (
  SELECT w.provider_id, COALESCE(f.calls, 0) AS flying, d.name IS NULL AS is_uncounted,
    CASE WHEN d.name IS NULL OR d.name = ANY (r.stopped) THEN 0 ELSE GREATEST(0, LEAST(r.depth, CASE
      WHEN NOT d.is_uncapped THEN COALESCE(d.cap, :provider_daily_calls)
        - CASE WHEN d.day = r.today THEN d.calls ELSE 0 END END)) END AS depth
  FROM room r CROSS JOIN waiting w LEFT JOIN flying f USING (provider_id)
  LEFT JOIN daily_calls d ON d.name = w.provider_id
  WHERE w.provider_id IS NOT NULL
), candidates AS MATERIALIZED (
  SELECT h.*, q.flying + h.place AS turn
  FROM queues q CROSS JOIN LATERAL (
    SELECT m.id, m.ctid AS row, m.deadline, row_number() OVER (ORDER BY m.deadline) AS place
    FROM messages m
    WHERE m.status = 'queued' AND m.lane = :lane AND m.provider_id = q.provider_id AND {dialable}
    ORDER BY m.deadline LIMIT q.depth) h
), picked AS (
  SELECT m.*
  FROM (SELECT * FROM candidates ORDER BY turn, deadline) c
  CROSS JOIN LATERAL (
    SELECT m.id, m.ctid AS row, m.destination_key, m.deadline, m.source FROM messages m
    WHERE m.ctid = c.row AND m.id = c.id AND m.status = 'queued' FOR NO KEY UPDATE SKIP LOCKED) m
  LIMIT COALESCE((SELECT calls FROM room), 0)
), chosen AS (
  SELECT id, row FROM (
    SELECT p.id, p.row, row_number() OVER (PARTITION BY p.destination_key ORDER BY p.deadline) AS of_phone,
      row_number() OVER (PARTITION BY COALESCE(k.name, p.id) ORDER BY p.deadline) AS of_source
    FROM picked p LEFT JOIN breakers k ON k.scope = 'source' AND k.name = p.source) p
  WHERE of_phone = 1 AND of_source = 1
), claimed AS (
  UPDATE messages m SET
    status = 'dialing',
    attempt = m.attempt + 1,
    session_id = NULL,
    attempt_id = 'att_' || substr(m.id, 5) || '_' || (m.attempt + 1),
    due_at = now() + :lease_s * interval '1 second',
    busy_destination = CASE WHEN NOT EXISTS (SELECT FROM messages b WHERE b.busy_destination = m.destination_key)
      THEN m.destination_key END,
    busy_until = now() + (:ring_s + m.plays * m.seconds_per_play) * interval '1 second',
    updated_at = now()
  FROM chosen c WHERE m.id = c.id AND m.ctid = c.row  -- locked above, so its place holds: no plan can scan for it
  RETURNING m.id, m.provider_id, m.country, m.attempt_id, m.attempt, m.content, m.source, m.voice, m.speed, m.plays,
    m.seconds_per_play, m.interruptible, m.deadline, m.destination_key, m.redial_unknown, m.max_attempts, m.traceparent,
    LEAST(m.deadline, now() + interval '{valid_s} seconds') AS valid_until
), quiet AS MATERIALIZED (
  SELECT c.provider_id, (SELECT p.quiet_hours FROM providers p WHERE p.provider_id = c.provider_id
    AND (:lane = '{notification}' OR :lane = '{alert}' AND p.quiet_alerts)) AS quiet_hours
  FROM (SELECT DISTINCT provider_id FROM claimed WHERE :lane <> '{otp}') c
), attempts AS (
  INSERT INTO dial_attempts
    (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key, valid_until)
  SELECT attempt_id, id, attempt, :claim_id, :subaccount_id, source, destination_key, valid_until FROM claimed
), probed AS (
  UPDATE breakers SET probing = true, probe_at = now() + :lease_s * interval '1 second'
  WHERE probe_at <= now() AND (scope = 'subaccount' AND name = :subaccount_id AND EXISTS (SELECT FROM claimed)
    OR scope = 'source' AND name IN (SELECT source FROM claimed))
), counted AS (
  UPDATE daily_calls d SET day = r.today, turns = d.turns + c.calls,
    calls = c.calls + CASE WHEN d.day = r.today THEN d.calls ELSE 0 END
  FROM room r, (
    SELECT provider_id AS name, count(*) AS calls FROM claimed GROUP BY provider_id
    UNION ALL SELECT '{all}', count(*) FROM claimed HAVING count(*) > 0) c
  WHERE d.name = c.name
), tally AS MATERIALIZED (
  SELECT r.*, c.seen, r.is_open AND (c.seen > r.calls OR c.deepest >= r.depth) AS waiting,
    (SELECT count(*) FROM claimed)::int AS taken
  FROM room r, (SELECT count(*) AS seen, COALESCE(max(place), 0) AS deepest FROM candidates) AS c
), spent AS (
  UPDATE subaccounts s SET
    tokens = t.tokens - t.taken,
    refilled_at = t.time,
    dialed = s.dialed + t.taken,
    flown = CASE WHEN t.is_counted THEN t.flying ELSE s.flown END,
    flown_turns = CASE WHEN t.is_counted THEN t.turns ELSE s.flown_turns END,
    otp_claimed_at = CASE WHEN :lane = 'otp' THEN now() ELSE s.otp_claimed_at END,
    lines = CASE WHEN t.adapts AND t.taken > 0 AND t.flying + t.taken >= t.cap
        AND (:lane = 'otp' OR t.lines < t.refused OR t.quiet_s > {forgotten_s})
      THEN {grown} ELSE s.lines END
  FROM tally t
  WHERE s.subaccount_id = :subaccount_id
    AND (t.taken > 0 OR s.refilled_at > t.time OR :lane = 'otp' AND t.seen > 0)
)
SELECT t.calls AS room, t.held_s, t.waiting, t.stops,
  (SELECT array_agg(provider_id) FROM queues WHERE is_uncounted) AS uncounted,
  c.*, t.probes IS NOT NULL AS probes, now() AS claimed_at, {suppressed} AS is_suppressed, {quiet} AS quiet_hours,
  c.redial_unknown AND 1 + (SELECT count(*) FROM dial_attempts s WHERE s.message_id = c.id AND {maybe_accepted})
    < c.max_attempts AS may_redial
FROM tally t LEFT JOIN claimed c ON true
ORDER BY c.deadline
"""


def _statements(*, kept: str, gives_way: str, quiet: str) -> tuple[Prepared, Prepared]:
    """The claim as it is, and after waiting for the lock."""
    claim = _STATEMENT.format(
        burst=BURST,
        kept=kept,
        gives_way=gives_way,
        rate=RATE,
        grown=GROWN,
        dialable=_DIALABLE,
        valid_s=_VALID_S,
        forgotten_s=pacing.FORGOTTEN_S,
        maybe_accepted=MAYBE_ACCEPTED,
        quiet=quiet,
        otp=Lane.OTP,
        alert=Lane.ALERT,
        notification=Lane.NOTIFICATION,
        suppressed=suppressions.suppressed("c"),
        known_server=failover.KNOWN,
        stops=stops.FOR_CLAIM,
        all=daily_calls.ALL,
    )
    words = dict.fromkeys(("subaccount_id", "lane", "claim_id"), "text")
    numbers = dict.fromkeys(("rate", "share", "lease_s", "ring_s"), "float8")
    caps = dict.fromkeys(("daily_calls", "provider_daily_calls"), "bigint")
    types = {"wanted": "int", "max_in_flight": "int"} | words | numbers | caps
    return Prepared(claim, **types), Prepared(_LOCK, claim, **types)


_CLAIM_OTP, _CLAIM_OTP_IN_TURN = _statements(kept="0", gives_way="false", quiet="NULL")
_CLAIM_BULK, _CLAIM_BULK_IN_TURN = _statements(kept=KEPT, gives_way=_GIVES_WAY, quiet=_QUIET)


def claim(connection: Connection, pace: Pace, lane: Lane, *, wanted: int, claim_id: str) -> Claim:
    """
    Take up to *wanted* due messages of *lane* and write an attempt row for each.

    Holds back for the dial rate, the cap on calls in flight, a paused lane, an open breaker, a pause that 8x8 asked
    for, an otp that waits and, unless waiting would cost the deadline, a destination that another call keeps busy.
    """
    is_otp = lane is Lane.OTP
    asked = {
        "subaccount_id": pace.subaccount_id,
        "rate": pace.dials_per_second,
        "max_in_flight": pace.max_in_flight,
        "share": 1 if is_otp else 1 - pacing.OTP_RESERVE,
        "lease_s": pace.lease_s,
        "ring_s": pace.ring_s,
        "lane": lane,
        "wanted": wanted,
        "claim_id": claim_id,
        **daily_calls.caps_of(pace),
    }
    rows = (_CLAIM_OTP if is_otp else _CLAIM_BULK)(connection, **asked)
    in_turn = _CLAIM_OTP_IN_TURN if is_otp else _CLAIM_BULK_IN_TURN
    if not rows:  # somebody else is claiming
        rows = in_turn(connection, **asked)
    if not rows:  # the first claim of this subaccount ever, or of this server since it started
        if not failover.greet(connection):
            return Claim([], room=0, waiting=True, is_fenced=True)
        open_pace(connection, pace.subaccount_id, pacing.burst(pace.dials_per_second))
        rows = in_turn(connection, **asked)
    first = rows[0]
    if first.uncounted:  # providers that never called before are claimed from once there is a row to count in
        daily_calls.open_counts(connection, first.uncounted)
        if first.id is None:
            rows = in_turn(connection, **asked)
            first = rows[0]
    calls = [claimed(row, lane) for row in rows if row.id is not None]
    failpoints.hit("dial.after_claim", calls)
    standing = tuple(Stop(Scope(scope), name) for scope, name in first.stops or ())
    waiting = first.waiting or bool(first.uncounted)
    return Claim(calls, room=first.room, waiting=waiting, held_s=first.held_s, stops=standing)


# Read from the open messages: no index tells which attempts a claim began.
_FORGET: Final = text("""
UPDATE dial_attempts a SET disposition = :disposition, reason = :reason
FROM messages m WHERE m.attempt_id = a.attempt_id AND m.status = ANY (:sources)
  AND m.finished_at IS NULL AND a.claim_id = :claim_id
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
