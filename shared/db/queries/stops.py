"""
What operators have stopped: which stops stand, and what they hold.

The claim itself heeds global, lane and provider. What waits under the other scopes is *held*: due at its deadline only,
with a reason to be found by. A stop that has ended stays until all that was held is let go. Whoever holds a message
locks the stop that it is held for, so that none is held for one that has just ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, RowMapping, text

from shared.db.queries import daily_calls, moves
from shared.lifecycle import TYPES, Event, Lane, Move
from shared.quiet import Quiet
from shared.reasons import Reason
from shared.stops import HELD, Scope, Stop
from shared.voice_api.codes import Disposition

_OTHERS: Final = "ARRAY[" + ", ".join(f"'{scope}'" for scope in Scope if scope is not Scope.LANE) + "]"
_LISTED: Final = f"""
SELECT scope, name, reason, stopped_by, stopped_at, until FROM stops
WHERE scope = ANY ({_OTHERS}) AND ended_at IS NULL
UNION ALL
SELECT '{Scope.LANE}', lane, reason, paused_by, paused_at, paused_until FROM lanes WHERE paused_at IS NOT NULL
"""
#: For the claim, in one row: whether all is stopped, which providers are, and all there is but lanes.
FOR_CLAIM: Final = f"""(SELECT COALESCE(bool_or(scope = '{Scope.GLOBAL}'), false) AS is_all,
    COALESCE(array_agg(name) FILTER (WHERE scope = '{Scope.PROVIDER}'), ARRAY[]::text[]) AS providers,
    json_agg(json_build_array(scope, name)) AS stops
  FROM stops WHERE scope = ANY ({_OTHERS}) AND ended_at IS NULL)"""
#: For the sweeper's look, each true where there is something to do.
IS_OVER: Final = """(EXISTS (SELECT FROM stops WHERE ended_at IS NOT NULL OR until <= now())
  OR EXISTS (SELECT FROM lanes WHERE paused_until <= now()))"""
_SORTED_OUT: Final = f"('{Scope.PROVIDER}', '{Scope.COUNTRY}', '{Scope.SOURCE}')"
HOLDS: Final = f"EXISTS (SELECT FROM stops WHERE scope IN {_SORTED_OUT} AND ended_at IS NULL)"


def standing(connection: Connection) -> list[Stop]:
    """Every stop that stands."""
    rows = connection.execute(text(_LISTED))
    return [Stop(Scope(row.scope), row.name, row.until) for row in rows]


def listed(connection: Connection) -> Sequence[RowMapping]:
    """For people: every stop that stands, with its reason, who threw it, since when and until when."""
    return connection.execute(text(_LISTED + "ORDER BY stopped_at")).mappings().all()


def find(connection: Connection, scope: Scope, name: str) -> RowMapping | None:
    """One stop, if it stands."""
    found = text(f"SELECT * FROM ({_LISTED}) x WHERE scope = :scope AND name = :name")
    return connection.execute(found, {"scope": scope, "name": name}).mappings().first()


_STOP: Final = text("""
INSERT INTO stops (scope, name, reason, stopped_by, until)
VALUES (:scope, :name, :reason, :by, now() + :for_s * interval '1 second')
ON CONFLICT (scope, name) DO UPDATE SET reason = excluded.reason, stopped_by = excluded.stopped_by,
  until = excluded.until, ended_at = NULL,
  stopped_at = CASE WHEN stops.ended_at IS NULL THEN stops.stopped_at ELSE now() END
""")
_PAUSE: Final = text("""
INSERT INTO lanes (lane, paused_at, reason, paused_by, paused_until)
VALUES (:name, now(), :reason, :by, now() + :for_s * interval '1 second')
ON CONFLICT (lane) DO UPDATE SET paused_at = COALESCE(lanes.paused_at, now()), reason = excluded.reason,
  paused_by = excluded.paused_by, paused_until = excluded.paused_until
""")


def stop(connection: Connection, wanted: Stop, *, reason: str, by: str, for_s: float | None = None) -> None:
    """Throw a switch, or change why and for how long it is thrown."""
    asked = {"scope": wanted.scope, "name": wanted.name, "reason": reason, "by": by, "for_s": for_s}
    if wanted.scope is Scope.LANE:
        del asked["scope"]
        connection.execute(_PAUSE, asked)
    else:
        connection.execute(_STOP, asked)


_UNPAUSE: Final = "UPDATE lanes SET paused_at = NULL, reason = NULL, paused_by = NULL, paused_until = NULL WHERE"
_END: Final = "UPDATE stops SET ended_at = now() WHERE ended_at IS NULL AND"


def go(connection: Connection, scope: Scope, name: str) -> bool:
    """Call again; False when that was not stopped. What it held flows with the sweeper's next round."""
    if scope is Scope.LANE:
        done = connection.execute(text(f"{_UNPAUSE} lane = :name AND paused_at IS NOT NULL"), {"name": name})
    else:
        done = connection.execute(text(f"{_END} scope = :scope AND name = :name"), {"scope": scope, "name": name})
    return done.rowcount == 1


def end_passed(connection: Connection) -> int:
    """End those whose time is over; how many."""
    lanes = connection.execute(text(f"{_UNPAUSE} paused_until <= now()")).rowcount
    return lanes + connection.execute(text(f"{_END} until <= now()")).rowcount


_LET_GO: Final = text(f"""
UPDATE messages SET due_at = now(), reason = NULL, updated_at = now()
WHERE id IN (SELECT id FROM messages
  WHERE finished_at IS NULL AND status = 'queued' AND due_at > now() AND reason = '{Reason.DIALING_STOPPED}'
  LIMIT :page FOR NO KEY UPDATE)
""")


def let_go(connection: Connection, page: int) -> int:
    """Let one page of what is held be dialled; what another stop covers is held again."""
    return connection.execute(_LET_GO, {"page": page}).rowcount


def ended(connection: Connection) -> list[dict[str, Any]]:
    """The stops that have ended, and may hold messages still."""
    rows = connection.execute(text("SELECT scope, name, ended_at::text FROM stops WHERE ended_at IS NOT NULL"))
    return [dict(row._asdict()) for row in rows]


_FORGET: Final = text("""
DELETE FROM stops s USING json_to_recordset(:ended) AS x(scope text, name text, ended_at timestamptz)
WHERE s.scope = x.scope AND s.name = x.name AND s.ended_at = x.ended_at
""")


def forget(connection: Connection, ended: Sequence[dict[str, Any]]) -> None:
    """All is let go that these held."""
    connection.execute(_FORGET, {"ended": to_json(list(ended)).decode()})


_FOUND: Final = "m.due_at <= now() AND m.deadline > now()"
# A provider's messages by the queue's index; country and caller id stand in no index, so all that is due is read.
_HOLD: Final = text(f"""
WITH standing AS MATERIALIZED (
  SELECT scope, name FROM stops WHERE scope = ANY ({_OTHERS}) AND ended_at IS NULL FOR SHARE
), found AS MATERIALIZED (
  SELECT m.id FROM standing s CROSS JOIN unnest(CAST(:lanes AS text[])) AS l(lane) CROSS JOIN LATERAL (
    SELECT m.id FROM messages m WHERE m.status = 'queued' AND m.lane = l.lane AND m.provider_id = s.name AND {_FOUND}
    LIMIT :page FOR NO KEY UPDATE SKIP LOCKED) m
  WHERE s.scope = '{Scope.PROVIDER}'
), others AS MATERIALIZED (
  SELECT m.id FROM messages m
  WHERE EXISTS (SELECT FROM standing WHERE scope IN ('{Scope.COUNTRY}', '{Scope.SOURCE}'))
    AND m.finished_at IS NULL AND m.status = 'queued' AND m.lane <> '{Lane.TEST}' AND {_FOUND}
    AND (m.country = ANY (ARRAY(SELECT name FROM standing WHERE scope = '{Scope.COUNTRY}'))
      OR m.source = ANY (ARRAY(SELECT name FROM standing WHERE scope = '{Scope.SOURCE}')))
  LIMIT :page FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE messages m SET due_at = m.deadline, reason = '{Reason.DIALING_STOPPED}', updated_at = now()
FROM (SELECT id FROM found UNION SELECT id FROM others) f WHERE m.id = f.id
""")


def hold(connection: Connection, page: int) -> int:
    """Put one page of what a stop covers out of the claim's way; how many. Prefixes the workers find."""
    return connection.execute(_HOLD, {"lanes": list(TYPES), "page": page}).rowcount


@dataclass(frozen=True, slots=True)
class Stopped:
    """A claimed call that must not be made now."""

    message_id: str
    attempt_id: str
    provider_id: str
    claimed_at: datetime
    deadline: datetime
    why: Stop | Quiet

    @property
    def reason(self) -> Reason:
        """What its message waits for."""
        return Reason.QUIET_HOURS if isinstance(self.why, Quiet) else Reason.DIALING_STOPPED


_STANDING: Final = text(f"SELECT scope, name FROM stops WHERE scope = ANY ({_OTHERS}) AND ended_at IS NULL FOR SHARE")
_NOT_SENT: Final = text(f"""
UPDATE dial_attempts a SET replied_at = now(), disposition = '{Disposition.NOT_SENT}', reason = x.reason
FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS x(id, reason) WHERE a.attempt_id = x.id
""")
_TOKENS: Final = text("UPDATE subaccounts SET tokens = tokens + :calls WHERE subaccount_id = :id")


def put_back(connection: Connection, subaccount_id: str, stopped: Sequence[Stopped]) -> int:
    """Back into the queue, as if they had never been claimed: neither the pace nor the day's cap is charged."""
    standing_now = {(row.scope, row.name) for row in connection.execute(_STANDING)}
    by_id = {one.message_id: one for one in stopped}
    moved = moves.apply(connection, [_move(one, standing_now) for one in stopped])
    back = [by_id[one.message_id] for one in moved]
    if back:
        reasons = [one.reason for one in back]
        connection.execute(_NOT_SENT, {"ids": [one.attempt_id for one in back], "reasons": reasons})
        connection.execute(_TOKENS, {"id": subaccount_id, "calls": len(back)})
        daily_calls.give_back(connection, [(one.provider_id, one.claimed_at) for one in back])
    return len(back)


def _move(one: Stopped, standing_now: set[tuple[Any, Any]]) -> Move:
    due_at: datetime | None = one.deadline
    if isinstance(one.why, Quiet):
        due_at = min(one.deadline, one.why.until or one.deadline)
    elif one.why.scope not in HELD or (one.why.scope, one.why.name) not in standing_now:
        due_at = None
    return Move(
        one.message_id,
        Event.DIAL_POSTPONED,
        one.attempt_id,
        reason=one.reason,
        due_at=due_at,
        due_in_s=0 if due_at is None else None,
    )
