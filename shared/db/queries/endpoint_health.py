"""Endpoints that fail and fail: announced, disabled in the end, and nothing that was meant for them lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.db.queries import audit_log

#: Shares of the time after which an endpoint is disabled, at which that is announced.
NOTICES: Final = (0.5, 0.7, 0.9)
#: The share of that time which lies at least between a notice and the failure that disables.
_WARNED: Final = 0.05
#: Why an endpoint was disabled by nobody.
REASON: Final = "nothing was delivered for too long"
_ACTOR: Final = "sweeper"

# An endpoint that is not tried does not fail: what counts is from the first failure to the last.
_FAILS_FOR: Final = "e.failing_since + :limit_s * {share} * interval '1 second'"
_NOTICE: Final = text(f"""
WITH met AS (
  SELECT e.endpoint_id, max(s.share) AS share FROM endpoints e CROSS JOIN unnest(CAST(:shares AS float8[])) AS s(share)
  WHERE e.failing_since IS NOT NULL AND e.disabled_at IS NULL
    AND e.last_failure_at >= {_FAILS_FOR.format(share="s.share")}
  GROUP BY e.endpoint_id
)
UPDATE endpoints e SET warned_at = now() FROM met
WHERE e.endpoint_id = met.endpoint_id AND e.failing_since IS NOT NULL AND e.disabled_at IS NULL
  AND (e.warned_at IS NULL OR e.warned_at < {_FAILS_FOR.format(share="met.share")})
RETURNING e.endpoint_id, e.provider_id, e.failing_since, met.share,
  {_FAILS_FOR.format(share=1)} AS disables_at
""")
# Never without a notice, and a while to act on it: at little traffic the second failure may come after the whole time.
_DISABLE: Final = text(f"""
UPDATE endpoints e SET disabled_at = now(), disabled_reason = :reason
WHERE e.failing_since IS NOT NULL AND e.disabled_at IS NULL AND e.last_failure_at >= {_FAILS_FOR.format(share=1)}
  AND e.warned_at >= e.failing_since AND e.last_failure_at >= e.warned_at + :warned_s * interval '1 second'
RETURNING e.endpoint_id, e.provider_id, e.failing_since, e.last_failure
""")


def notice(connection: Connection, limit_s: float) -> Sequence[Any]:
    """The endpoints that have to be announced now, each with the highest share of *limit_s* that it has met."""
    return connection.execute(_NOTICE, {"limit_s": limit_s, "shares": list(NOTICES)}).all()


def disable(connection: Connection, limit_s: float) -> Sequence[Any]:
    """Disable those that failed at each try for *limit_s* seconds, and were announced; :func:`park` parks the rest."""
    asked = {"limit_s": limit_s, "warned_s": _WARNED * limit_s, "reason": REASON}
    disabled = connection.execute(_DISABLE, asked).all()
    for row in disabled:
        after = {"disabled": True, "failing_since": row.failing_since, "last_failure": row.last_failure}
        audit_log.note(connection, _ACTOR, "endpoint.disable", row.endpoint_id, before={"disabled": False}, after=after)
    return disabled


# A page at a time, as a backlog may be long; also what somebody wrote who saw the endpoint as it was before. What is
# being sent is parked, too: its sender finds it so, and it is not tried again.
_PARK: Final = text("""
WITH gone AS MATERIALIZED (
  SELECT endpoint_id FROM endpoints
  WHERE (deleted_at > now() - interval '1 day'
      OR (disabled_at > now() - interval '1 day' AND disabled_reason = :reason))
    AND (CAST(:id AS text) IS NULL OR endpoint_id = :id)
), picked AS MATERIALIZED (
  SELECT c.callback_id FROM gone g CROSS JOIN LATERAL (
    SELECT callback_id FROM callbacks
    WHERE endpoint_id = g.endpoint_id AND state IN ('due', 'sending') ORDER BY due_at LIMIT :page
    FOR NO KEY UPDATE SKIP LOCKED) c LIMIT :page
)
UPDATE callbacks c SET state = 'parked', due_at = NULL, finished_at = now()
FROM picked p WHERE c.callback_id = p.callback_id AND c.state IN ('due', 'sending')
""")


def park(connection: Connection, page: int, endpoint_id: str | None = None) -> int:
    """Park open callbacks of deleted endpoints and of those disabled for failing, or of one; says how many."""
    return connection.execute(_PARK, {"reason": REASON, "page": page, "id": endpoint_id}).rowcount


_FORGET: Final = text("DELETE FROM endpoints WHERE deleted_at <= now() - :keep_s * interval '1 second'")


def forget(connection: Connection, keep_s: float) -> int:
    """Forget the endpoints that were deleted *keep_s* ago; says how many."""
    return connection.execute(_FORGET, {"keep_s": keep_s}).rowcount
