"""API keys: made two at most of a mode, listed, revoked, and their last use noted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text

from shared.db.queries import audit_log
from shared.keys import MOST_KEYS, MadeKey
from shared.lifecycle import Mode

#: Keys in one list: the active ones first, then the newest.
_MOST_LISTED: Final = 500

_SELECT: Final = """
SELECT k.key_id, k.provider_id, p.name AS provider, k.mode, k.name, k.created_at, k.expires_at, k.last_used_at,
  CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= now() THEN 'expired'
    WHEN p.disabled_at IS NOT NULL THEN 'disabled' ELSE 'active' END AS state
FROM api_keys k JOIN providers p USING (provider_id)
"""
_LIST: Final = text(f"""
SELECT * FROM ({_SELECT}
  WHERE (CAST(:provider_id AS text) IS NULL OR k.provider_id = :provider_id)
    AND (CAST(:mode AS text) IS NULL OR k.mode = :mode)) l
ORDER BY provider, provider_id, state <> 'active', created_at DESC LIMIT {_MOST_LISTED}
""")
_ONE: Final = text(_SELECT + " WHERE k.key_id = :key_id")


class TooManyKeys(Exception):
    """The provider has as many keys of the mode as it may have at once."""

    def __init__(self, mode: Mode, key_ids: Sequence[str]) -> None:
        super().__init__(
            f"there are {len(key_ids)} {mode} keys already: revoke one of {', '.join(key_ids)} before making another"
        )
        self.key_ids = tuple(key_ids)


class AlreadyOver(Exception):
    """The key would have expired before it is made."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a new key is for, and how long it lasts: until a moment, for so many seconds, or for ever."""

    provider_id: str
    mode: Mode = Mode.LIVE
    name: str | None = None
    expires_at: datetime | None = None
    lasts_s: float | None = None


# The provider's row is locked, so that two who ask at once do not make three keys.
_LOCK: Final = text("SELECT 1 FROM providers WHERE provider_id = :provider_id FOR NO KEY UPDATE")
_ACTIVE: Final = text("""
SELECT key_id FROM api_keys
WHERE provider_id = :provider_id AND mode = :mode AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
  AND key_id <> :key_id
ORDER BY created_at, key_id
""")
_CREATE: Final = text("""
INSERT INTO api_keys (key_id, provider_id, secret_hash, mode, name, expires_at)
VALUES (:key_id, :provider_id, :secret_hash, :mode, :name,
  COALESCE(CAST(:expires_at AS timestamptz), now() + :lasts_s * interval '1 second'))
ON CONFLICT (key_id) DO NOTHING
RETURNING COALESCE(expires_at <= now(), false) AS is_over
""")


def create(connection: Connection, key: MadeKey, terms: Terms, *, actor: str) -> RowMapping:
    """
    Store a new key and note who made it; the row as lists show it. Safe to repeat.

    Raises:
        TooManyKeys: There are :data:`~shared.keys.MOST_KEYS` of its mode.
        AlreadyOver: It ends before it begins.
    """
    of_mode = {"provider_id": terms.provider_id, "mode": terms.mode, "key_id": key.key_id}
    connection.execute(_LOCK, {"provider_id": terms.provider_id})
    active = connection.execute(_ACTIVE, of_mode).scalars().all()
    if len(active) >= MOST_KEYS:
        raise TooManyKeys(terms.mode, active)
    row = of_mode | {
        "secret_hash": key.secret_hash,
        "name": terms.name,
        "expires_at": terms.expires_at,
        "lasts_s": terms.lasts_s,
    }
    is_over = connection.execute(_CREATE, row).scalar_one_or_none()
    if is_over:
        raise AlreadyOver
    made = connection.execute(_ONE, {"key_id": key.key_id}).mappings().one()
    if is_over is None:
        return made  # a repetition: the answer to the commit was lost
    audit_log.note(connection, actor, "key.create", key.key_id, after=_noted(made))
    return made


def listed(connection: Connection, provider_id: str | None = None, mode: Mode | None = None) -> Sequence[RowMapping]:
    """The keys of a provider and a mode, or of all: the active ones first."""
    return connection.execute(_LIST, {"provider_id": provider_id, "mode": mode}).mappings().all()


def find(connection: Connection, key_id: str) -> RowMapping | None:
    """One key as lists show it."""
    return connection.execute(_ONE, {"key_id": key_id}).mappings().one_or_none()


_REVOKE: Final = text("UPDATE api_keys SET revoked_at = now() WHERE key_id = :key_id AND revoked_at IS NULL")


def revoke(connection: Connection, key_id: str, *, actor: str) -> bool:
    """Refuse the key from now on, and note who said so; False when it was revoked already or is not there."""
    before = find(connection, key_id)
    if before is None or connection.execute(_REVOKE, {"key_id": key_id}).rowcount == 0:
        return False
    after = find(connection, key_id)
    audit_log.note(connection, actor, "key.revoke", key_id, before=_noted(before), after=_noted(after))
    return True


def _noted(row: RowMapping | None) -> dict[str, Any] | None:
    names = ("provider_id", "mode", "name", "expires_at", "state")
    return None if row is None else {name: row[name] for name in names}


_USED: Final = text("""
UPDATE api_keys SET last_used_at = now()
WHERE key_id = ANY (:key_ids) AND (last_used_at IS NULL OR last_used_at <= now() - interval '50 seconds')
""")


def note_use(connection: Connection, key_ids: Collection[str]) -> int:
    """Keys that opened the door within the last minute; those that another process noted meanwhile stay as they are."""
    result: Any = connection.execute(_USED, {"key_ids": sorted(key_ids)})
    return int(result.rowcount)
