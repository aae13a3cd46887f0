"""What a stop would cost: what it would have covered of the last day, and what waits that it covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, RowMapping, text

from shared import numbering
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.stops import Scope, Stop

_CONDITIONS: Final = {
    Scope.GLOBAL: ":name = :name",
    Scope.LANE: "m.lane = :name",
    Scope.PROVIDER: "m.provider_id = :name",
    Scope.SOURCE: "m.source = :name",
    Scope.COUNTRY: "m.country = :name",
    Scope.PREFIX: "m.destination_masked LIKE :name",
}
_LOST: Final = f"""
SELECT COALESCE(p.name, m.provider_id) AS provider, m.country, count(*) AS messages,
  COALESCE(sum(a.calls), 0)::bigint AS calls,
  count(*) FILTER (WHERE m.status = 'delivered') AS delivered, count(m.finished_at) AS ended
FROM messages m LEFT JOIN providers p USING (provider_id) CROSS JOIN LATERAL (
  SELECT count(*) AS calls FROM dial_attempts s WHERE s.message_id = m.id AND {MAYBE_ACCEPTED}) a
WHERE m.created_at > now() - interval '24 hours' AND {{covered}}
GROUP BY 1, 2 ORDER BY messages DESC, 1, 2
"""


def hurry(connection: Connection, seconds: float) -> None:
    """Let no statement of this transaction take longer; one that does is a database that is away."""
    connection.execute(text("SELECT set_config('statement_timeout', :ms, true)"), {"ms": str(round(1000 * seconds))})


def lost(connection: Connection, stop: Stop) -> Sequence[RowMapping]:
    """
    Messages of the last 24 hours, their calls, and how many were delivered, by provider and country.

    Numbers are not kept: of a prefix it is at most these, all that share its country code.
    """
    covered = text(_LOST.format(covered=_CONDITIONS[stop.scope]))
    return connection.execute(covered, {"name": _name(stop)}).mappings().all()


_WAITING: Final = "FROM messages m WHERE m.finished_at IS NULL AND m.status IN ('queued', 'scheduled') AND"


def waiting(connection: Connection, stop: Stop) -> int:
    """Messages that wait, now or for later, and would be held; of a prefix at most so many."""
    statement = text(f"SELECT count(*) {_WAITING} {_CONDITIONS[stop.scope]}")
    return int(connection.execute(statement, {"name": _name(stop)}).scalar_one())


def waiting_contents(connection: Connection, stop: Stop) -> Iterator[tuple[str, bytes]]:
    """Id and sealed content of each of these: only the number itself tells whether it has the prefix."""
    statement = text(f"SELECT m.id, m.content {_WAITING} {_CONDITIONS[stop.scope]}")
    for row in connection.execute(statement, {"name": _name(stop)}):
        yield row.id, bytes(row.content)


def _name(stop: Stop) -> str:
    if stop.scope is not Scope.PREFIX:
        return stop.name
    code, _ = numbering.split(stop.name[1:])
    return f"+{code}**%" if code else f"{stop.name}%"
