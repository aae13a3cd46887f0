"""Numbers that are not to be called: a provider's own, and an operator's for all. Known by their keyed hashes only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

#: Stands in the place of the provider where an entry holds for all.
ALL: Final = "*"


def suppressed(message: str) -> str:
    """
    A condition: the number of *message*, an alias in a statement, is not to be called for its provider.

    Whether there is any entry at all is asked once a statement, so that an empty list costs no look-up a message.
    """
    return f"""(EXISTS (SELECT FROM suppressions) AND EXISTS (
    SELECT FROM suppressions s WHERE s.provider_id IN ({message}.provider_id, '{ALL}')
    AND s.destination_key = {_key(message)}))"""


def _key(message: str) -> str:
    return "decode(x.destination_key, 'hex')" if message == "x" else f"{message}.destination_key"


_ADD: Final = text("""
INSERT INTO suppressions (provider_id, destination_key, destination_masked, reason)
VALUES (:provider_id, :key, :masked, :reason)
ON CONFLICT (provider_id, destination_key) DO UPDATE SET reason = suppressions.reason
RETURNING destination_masked, reason, created_at, xmax = 0 AS is_new
""")
_REMOVE: Final = text("""
DELETE FROM suppressions WHERE provider_id = :provider_id AND destination_key = :key
RETURNING destination_masked, reason, created_at
""")
_PAGE: Final = text("""
SELECT provider_id, destination_key, destination_masked, reason, created_at FROM suppressions
WHERE provider_id = :provider_id AND destination_key > :after ORDER BY destination_key LIMIT :limit
""")
_EVERY: Final = text("""
SELECT s.provider_id, p.name AS provider, s.destination_masked, s.reason, s.created_at
FROM suppressions s LEFT JOIN providers p USING (provider_id)
WHERE CAST(:provider_id AS text) IS NULL OR s.provider_id = :provider_id
ORDER BY s.created_at, s.provider_id, s.destination_key LIMIT :limit
""")


def add(connection: Connection, provider_id: str, key: bytes, *, masked: str, reason: str) -> tuple[Any, bool]:
    """Call this number no more; an entry that exists stays as it is. The entry, and whether it is new."""
    values = {"provider_id": provider_id, "key": key, "masked": masked, "reason": reason}
    row = connection.execute(_ADD, values).one()
    return row, row.is_new


def remove(connection: Connection, provider_id: str, key: bytes) -> Any | None:
    """Take an entry off the list; None when there is none. Another's entry for the same number still holds."""
    return connection.execute(_REMOVE, {"provider_id": provider_id, "key": key}).first()


def page(connection: Connection, provider_id: str, *, after: bytes, limit: int) -> Sequence[Any]:
    """A provider's own entries, in the order of their keys, from *after* on."""
    return connection.execute(_PAGE, {"provider_id": provider_id, "after": after, "limit": limit}).all()


def every(connection: Connection, provider_id: str | None, limit: int) -> Sequence[Any]:
    """Entries of one provider (or ``*``), or of all, the oldest first."""
    return connection.execute(_EVERY, {"provider_id": provider_id, "limit": limit}).all()
