"""What was sent to an endpoint, callback by callback with its attempts, and sending it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.db.prepared import Prepared
from shared.ids import first_id
from shared.lifecycle import CallbackState

#: Events that one page looks at: those that this endpoint was not told of are passed over.
SCANNED: Final = 2000
#: Callbacks that are made due again at once; who asks goes on until there is none.
MOST_RECOVERED: Final = 10_000

_COLUMNS: Final = """c.callback_id, c.endpoint_id, c.event_id, f.sequence, f.type, f.occurred_at, m.id, m.message_id,
  c.state, c.attempts, c.due_at, c.finished_at"""
# Along the feed, newest first: an index on callbacks by endpoint would cost every callback. The last event that is
# looked at is shown whether it fits or not, as the next page begins there.
_WALK: Final = Prepared(
    f"""
SELECT x.fits, x.number = :scanned AS is_last, x.sequence AS place, {_COLUMNS} FROM (
  SELECT f.event_id, f.sequence, c.callback_id,
    c.callback_id IS NOT NULL AND (:state = '' OR c.state = :state) AS fits,
    row_number() OVER (ORDER BY f.sequence DESC) AS number
  FROM feed_events f LEFT JOIN callbacks c ON c.event_id = f.event_id AND c.endpoint_id = :endpoint_id
  WHERE f.provider_id = :provider_id AND f.sequence < :before ORDER BY f.sequence DESC LIMIT :scanned
) x LEFT JOIN callbacks c ON c.callback_id = x.callback_id AND x.fits LEFT JOIN feed_events f ON f.event_id = c.event_id
LEFT JOIN messages m ON m.id = f.message_id
WHERE x.fits OR x.number = :scanned ORDER BY x.sequence DESC LIMIT :wanted
""",
    endpoint_id="text",
    provider_id="text",
    state="text",
    before="bigint",
    scanned="int",
    wanted="int",
)
# Those given up have a small index of their own, in the order of their events' ids.
_GIVEN_UP: Final = Prepared(
    f"""
SELECT true AS fits, false AS is_last, c.event_id AS place, {_COLUMNS}
FROM callbacks c JOIN feed_events f USING (event_id) JOIN messages m ON m.id = f.message_id
WHERE c.endpoint_id = :endpoint_id AND c.state = 'parked' AND c.event_id < :before
ORDER BY c.event_id DESC LIMIT :wanted
""",
    endpoint_id="text",
    before="text",
    wanted="int",
)
_ATTEMPTS: Final = Prepared(
    """
SELECT callback_id, number, started_at, elapsed_ms, http_status, error, reply FROM delivery_attempts
WHERE callback_id = ANY (:callback_ids) ORDER BY callback_id, number
""",
    callback_ids="text[]",
)
#: Behind every sequence, and behind every event's id, which begins with evt_.
_NEWEST: Final = 2**63 - 1
_LAST_ID: Final = "evu"


@dataclass(frozen=True, slots=True)
class Page:
    """Callbacks, newest first, the attempts of all of them, and from where to go on; None at the end."""

    rows: Sequence[Any]
    attempts: Sequence[Any]
    after: str | None


def page(
    connection: Connection,
    provider_id: str,
    endpoint_id: str,
    *,
    state: CallbackState | None,
    after: str | None,
    limit: int,
) -> Page:
    """
    The next callbacks of an endpoint.

    Args:
        connection: May commit each statement by itself.
        provider_id: Whose endpoint it is.
        endpoint_id: Which.
        state: Only those that stand there.
        after: Where the page before ended, of the same *state*; None for the first page.
        limit: Callbacks on a full page.

    Raises:
        ValueError: *after* is of a list of another kind.
    """
    if state is CallbackState.PARKED:
        before = after or _LAST_ID
        if before.isdecimal():
            raise ValueError("is of another list")
        rows = _GIVEN_UP(connection, endpoint_id=endpoint_id, before=before, wanted=limit + 1)
    else:
        number = int(after) if after is not None else _NEWEST
        rows = _WALK(
            connection,
            endpoint_id=endpoint_id,
            provider_id=provider_id,
            state=state or "",
            before=number,
            scanned=SCANNED,
            wanted=limit + 1,
        )
    fitting = [row for row in rows if row.fits]
    shown = fitting[:limit]
    goes_on = shown[-1] if len(fitting) > limit else rows[-1] if rows and rows[-1].is_last else None
    return Page(shown, attempts(connection, [row.callback_id for row in shown]), goes_on and str(goes_on.place))


def attempts(connection: Connection, callback_ids: Sequence[str]) -> Sequence[Any]:
    """The POSTs of these callbacks, in order."""
    return _ATTEMPTS(connection, callback_ids=list(callback_ids)) if callback_ids else []


_FIND: Final = text(f"""
SELECT {_COLUMNS}, e.disabled_at IS NOT NULL AS is_disabled
FROM callbacks c JOIN endpoints e USING (endpoint_id) JOIN feed_events f USING (event_id)
JOIN messages m ON m.id = f.message_id
WHERE c.callback_id = :id AND e.provider_id = :provider_id
""")
_RESEND: Final = text("""
UPDATE callbacks SET state = 'due', due_at = now(), finished_at = NULL, failures_forgiven = attempts
WHERE callback_id = :id AND state <> 'sending'
""")


def find(connection: Connection, provider_id: str, callback_id: str) -> Any | None:
    """One of a provider's callbacks, and whether its endpoint is disabled."""
    return connection.execute(_FIND, {"id": callback_id, "provider_id": provider_id}).first()


def resend(connection: Connection, callback_id: str) -> None:
    """Make one callback due now, from the schedule's start; what is being sent in this moment stays as it is."""
    connection.execute(_RESEND, {"id": callback_id})


#: An event's id tells when it was made, by the clock of a process; what happened when is told by PostgreSQL's.
_CLOCKS_DIFFER: Final = timedelta(hours=1)
# The ids keep what was given up long before the span, a hundred thousand perhaps, from being looked at.
_RANGE: Final = f"""
SELECT c.callback_id FROM callbacks c JOIN feed_events f USING (event_id)
WHERE c.endpoint_id = :endpoint_id AND c.state = 'parked' AND f.occurred_at >= :since AND c.event_id >= :first_id
  AND f.occurred_at < COALESCE(CAST(:until AS timestamptz), now())
ORDER BY c.event_id LIMIT {MOST_RECOVERED}
"""
_COUNT: Final = text(f"SELECT count(*) FROM ({_RANGE}) r")
_RECOVER: Final = text(f"""
WITH picked AS MATERIALIZED ({_RANGE} FOR NO KEY UPDATE OF c SKIP LOCKED)
UPDATE callbacks c SET state = 'due', due_at = now(), finished_at = NULL, failures_forgiven = c.attempts
FROM picked p WHERE c.callback_id = p.callback_id AND c.state = 'parked'
""")


@dataclass(frozen=True, slots=True)
class Span:
    """Callbacks of one endpoint, by when their events happened: from *since* on, before *until*."""

    endpoint_id: str
    since: datetime
    until: datetime | None  # now


def recoverable(connection: Connection, span: Span) -> int:
    """How many parked callbacks :func:`recover` would take now, :data:`MOST_RECOVERED` at most."""
    return int(connection.execute(_COUNT, _asked(span)).scalar_one())


def recover(connection: Connection, span: Span) -> int:
    """Make parked callbacks due again, those of the oldest events first; says how many."""
    return connection.execute(_RECOVER, _asked(span)).rowcount


def _asked(span: Span) -> dict[str, Any]:
    first = first_id("evt", span.since - _CLOCKS_DIFFER)
    return {"endpoint_id": span.endpoint_id, "since": span.since, "until": span.until, "first_id": first}
