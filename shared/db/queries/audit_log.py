"""
Who changed what, from what and to what. Written here, by whoever changes anything, in the change's own transaction.

A trigger refuses to change or delete a row; nothing purges the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, text

from shared.as_json import json_of

_NOTE: Final = text("""
INSERT INTO audit_log (actor, action, target, before, after)
VALUES (:actor, :action, :target, CAST(:before AS jsonb), CAST(:after AS jsonb))
""")


def note(
    connection: Connection, actor: str, action: str, target: str, *, before: Any = None, after: Any = None
) -> None:
    """
    Note one change.

    Args:
        connection: The transaction that changes it.
        actor: An operator's name, a provider's key, or who runs the command line.
        action: What kind of thing and what was done to it, such as ``provider.disable``.
        target: Its id.
        before: What it was, of plain values and without secrets; None for what there was not.
        after: What it is now.
    """
    texts = [None if value is None else json.dumps(json_of(value), ensure_ascii=False) for value in (before, after)]
    values = {"actor": actor, "action": action, "target": target, "before": texts[0], "after": texts[1]}
    connection.execute(_NOTE, values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: of an actor, of an action or all that begin with it and a dot, of a target, from a moment on."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    before_id: int | None = None  # older ones than this


_LIST: Final = text("""
SELECT audit_id, at, actor, action, target, before, after FROM audit_log
WHERE (CAST(:before_id AS bigint) IS NULL OR audit_id < :before_id)
  AND (CAST(:actor AS text) IS NULL OR actor = :actor)
  AND (CAST(:action AS text) IS NULL OR action = :action OR starts_with(action, :action || '.'))
  AND (CAST(:target AS text) IS NULL OR target = :target)
  AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)
ORDER BY audit_id DESC LIMIT :limit
""")


def listed(connection: Connection, wanted: Wanted, limit: int) -> Sequence[RowMapping]:
    """Entries, the newest first."""
    values = {name: getattr(wanted, name) for name in ("actor", "action", "target", "since", "before_id")}
    return connection.execute(_LIST, {**values, "limit": limit}).mappings().all()
