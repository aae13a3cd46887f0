"""Where providers are called back: list, rotate the secret, disable, enable."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

#: How long the secret before signs, too, after a rotation, in seconds (requirement H1).
OVERLAP_S: Final = 24 * 3600

_LIST: Final = text("""
SELECT e.endpoint_id, e.provider_id, p.name AS provider, e.url, e.event_types, e.created_at, e.disabled_at,
  e.disabled_reason, e.failing_since, CASE WHEN e.old_secret_until > now() THEN e.old_secret_until END
    AS old_secret_until,
  e.last_success_at, e.last_failure_at, e.last_failure, CASE WHEN e.warned_at >= e.failing_since THEN e.warned_at END
    AS warned_at
FROM endpoints e JOIN providers p USING (provider_id)
WHERE (CAST(:provider_id AS text) IS NULL OR e.provider_id = :provider_id) AND e.deleted_at IS NULL
ORDER BY e.provider_id, e.endpoint_id
""")


def listed(connection: Connection, provider_id: str | None = None) -> list[dict[str, Any]]:
    """Every endpoint, or one provider's, without secrets; not those that were deleted."""
    return [dict(row._asdict()) for row in connection.execute(_LIST, {"provider_id": provider_id})]


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotation as it was written."""

    endpoint_id: str
    url: str
    old_secret_until: datetime | None  # None: the secret before counts no more
    old_secret_until_before: datetime | None

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """For the audit log: never a secret."""
        was, is_now = self.old_secret_until_before, self.old_secret_until
        return {"before": {"old_secret_until": was}, "after": {"old_secret_until": is_now}}


# Rotated again within the overlap, the newer secret is replaced and the oldest stays: whoever lost the answer to the
# first time, or the secret in it, still has a receiver that works.
_ROTATE: Final = text("""
WITH was AS (
  SELECT endpoint_id, secret, old_secret, old_secret_until FROM endpoints
  WHERE endpoint_id = :id AND (CAST(:provider_id AS text) IS NULL OR provider_id = :provider_id)
    AND deleted_at IS NULL FOR UPDATE
)
UPDATE endpoints e SET
  old_secret = CASE WHEN :at_once THEN NULL WHEN was.old_secret_until > now() THEN was.old_secret ELSE was.secret END,
  old_secret_until = CASE WHEN NOT :at_once THEN now() + :overlap_s * interval '1 second' END,
  secret = :sealed
FROM was WHERE e.endpoint_id = was.endpoint_id
RETURNING e.endpoint_id, e.url, e.old_secret_until, was.old_secret_until AS old_secret_until_before
""")


def rotate_secret(
    connection: Connection, endpoint_id: str, sealed_secret: bytes, *, provider_id: str | None, at_once: bool = False
) -> Rotated | None:
    """
    Sign with another secret from now on, and with the one before for a day.

    Args:
        connection: Of a transaction.
        endpoint_id: Which endpoint.
        sealed_secret: The new one, sealed for that row.
        provider_id: Whose endpoint it must be; None for anybody's.
        at_once: The one before signs nothing more: it is known to somebody else.

    Returns:
        None when there is no such endpoint.
    """
    row = connection.execute(
        _ROTATE,
        {
            "id": endpoint_id,
            "sealed": sealed_secret,
            "provider_id": provider_id,
            "at_once": at_once,
            "overlap_s": OVERLAP_S,
        },
    ).first()
    return None if row is None else Rotated(**row._asdict())


_ERASE: Final = text("""
UPDATE endpoints SET old_secret = NULL, old_secret_until = NULL WHERE old_secret_until <= now() RETURNING endpoint_id
""")


def erase_old_secrets(connection: Connection) -> list[str]:
    """Forget the secrets whose day is over; the endpoints that had one."""
    return [row.endpoint_id for row in connection.execute(_ERASE)]


# What is being sent is parked, too, as when an endpoint says 410: its sender finds it so, and it is not tried again.
_DISABLE: Final = text("""
WITH disabled AS (
  UPDATE endpoints SET disabled_at = now(), disabled_reason = :reason
  WHERE endpoint_id = :id AND disabled_at IS NULL RETURNING endpoint_id
), parked AS (
  UPDATE callbacks c SET state = 'parked', due_at = NULL, finished_at = now()
  FROM disabled d WHERE c.endpoint_id = d.endpoint_id AND c.state IN ('due', 'sending') RETURNING c.callback_id
)
SELECT endpoint_id, (SELECT count(*) FROM parked) AS parked FROM disabled
""")


def disable(connection: Connection, endpoint_id: str, reason: str) -> int | None:
    """Send an endpoint nothing more; how many callbacks are parked, None when it is disabled or there is none."""
    row = connection.execute(_DISABLE, {"id": endpoint_id, "reason": reason}).first()
    return None if row is None else int(row.parked)


_ENABLE: Final = text("""
UPDATE endpoints SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
WHERE endpoint_id = :id AND disabled_at IS NOT NULL AND deleted_at IS NULL
""")


def enable(connection: Connection, endpoint_id: str) -> bool:
    """Send an endpoint what happens from now on; False when it is not disabled or there is none."""
    return connection.execute(_ENABLE, {"id": endpoint_id}).rowcount == 1


def exists(connection: Connection, endpoint_id: str) -> bool:
    """Whether there is such an endpoint, and it was not deleted."""
    there = text("SELECT FROM endpoints WHERE endpoint_id = :id AND deleted_at IS NULL")
    found = connection.execute(there, {"id": endpoint_id})
    return found.first() is not None
