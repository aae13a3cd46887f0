"""Messages of which nobody knows whether a phone rang, while that may still be found out and after: for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, RowMapping, text

from shared.lifecycle import Status

_COLUMNS: Final = "id, message_id, provider_id, lane, country, destination_masked, reason, attempt, deadline"
_OPEN: Final = text(f"""
SELECT {_COLUMNS}, due_at, updated_at FROM messages
WHERE finished_at IS NULL AND status = '{Status.DIAL_UNKNOWN}' ORDER BY due_at LIMIT :limit
""")
_ENDED: Final = text(f"""
SELECT {_COLUMNS}, finished_at FROM messages
WHERE status = '{Status.UNDETERMINED}' ORDER BY finished_at DESC LIMIT :limit
""")
_RAW: Final = text("""
SELECT a.number, a.status_message, a.session_status_raw, a.error_message, a.last_action,
  l.leg, l.call_id, l.direction, l.call_status_raw
FROM dial_attempts a LEFT JOIN call_legs l USING (attempt_id) WHERE a.message_id = :id ORDER BY a.number, l.leg
""")


def unsettled(connection: Connection, limit: int) -> Sequence[RowMapping]:
    """Those that wait for 8x8's summary or its log, the next to be given up first."""
    return connection.execute(_OPEN, {"limit": limit}).mappings().all()


def undetermined(connection: Connection, limit: int) -> Sequence[RowMapping]:
    """Those that were given up, the latest first."""
    return connection.execute(_ENDED, {"limit": limit}).mappings().all()


def words_of_upstream(connection: Connection, id_: str) -> Sequence[RowMapping]:
    """8x8's own words of each attempt and leg; no number is kept in them."""
    return connection.execute(_RAW, {"id": id_}).mappings().all()
