"""What a stop would have cost in the last 24 hours, and what waits that it would hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from shared.db import stop_preview
from shared.sealing import Sealer, Unsealable
from shared.stops import Scope, Stop


def unknown() -> dict[str, Any]:
    """Where it could not be counted in time: the same members as :func:`counted`."""
    return {
        **dict.fromkeys(("last_day", "last_day_total", "waiting")),
        "is_at_most": False,
    }


def counted(connection: Connection, sealer: Sealer, wanted: Stop, patience_s: float | None) -> dict[str, Any]:
    """
    Messages of the last day by provider and country, all together, and what waits.

    Args:
        connection: Of a transaction.
        sealer: Opens what waits: of a prefix, only the number itself tells.
        wanted: The stop.
        patience_s: How long any statement may take; None for as long as it likes.
    """
    if patience_s is not None:
        stop_preview.hurry(connection, patience_s)
    rows = [dict(row) for row in stop_preview.lost(connection, wanted)]
    total = {name: sum(row[name] for row in rows) for name in ("messages", "calls", "delivered", "ended")}
    is_prefix = wanted.scope is Scope.PREFIX
    waiting = _with_prefix(connection, sealer, wanted) if is_prefix else stop_preview.waiting(connection, wanted)
    return {
        "last_day": [row | {"delivered_share": _share(row)} for row in rows],
        "last_day_total": total | {"delivered_share": _share(total)},
        "is_at_most": is_prefix,
        "waiting": waiting,
    }


def _share(row: Mapping[str, Any]) -> float | None:
    return row["delivered"] / row["ended"] if row["ended"] else None


def _with_prefix(connection: Connection, sealer: Sealer, wanted: Stop) -> int:
    def fits(id_: str, content: bytes) -> bool:
        try:
            destination: str = json.loads(sealer.unseal(content, row=id_))["destination"]
        except Unsealable:
            return False
        return destination.startswith(wanted.name)

    return sum(fits(id_, content) for id_, content in stop_preview.waiting_contents(connection, wanted))
