"""What an operator changes by hand of what was set aside."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_DISCARD_CALLBACK: Final = text("DELETE FROM callbacks WHERE callback_id = :id AND state = 'parked'")


def discard_callback(connection: Connection, callback_id: str) -> bool:
    """Give a parked callback up for good; its event stays in the provider's feed."""
    return connection.execute(_DISCARD_CALLBACK, {"id": callback_id}).rowcount == 1


_RETRY_EVENT: Final = text("""
UPDATE webhook_inbox SET processed_at = NULL, result = NULL, attempts = 0, due_at = now()
WHERE inbox_id = :id AND (processed_at IS NULL OR result = 'parked')
""")


def retry_event(connection: Connection, inbox_id: int) -> bool:
    """Reconcile a parked or unmatched webhook now; False when there is none to retry."""
    return connection.execute(_RETRY_EVENT, {"id": inbox_id}).rowcount == 1


_DISCARD_EVENT: Final = text("""
UPDATE webhook_inbox SET processed_at = now(), result = 'discarded'
WHERE inbox_id = :id AND (processed_at IS NULL AND session_id IS NOT NULL OR result = 'parked')
""")


def discard_event(connection: Connection, inbox_id: int) -> bool:
    """Give a parked or unmatched webhook up; it is purged like any other processed one."""
    return connection.execute(_DISCARD_EVENT, {"id": inbox_id}).rowcount == 1


_MOVE_ENDPOINT: Final = text("""
UPDATE endpoints SET url = :url, disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
WHERE endpoint_id = :id
""")


def move_endpoint(connection: Connection, endpoint_id: str, url: str) -> bool:
    """Send an endpoint's callbacks to another address from now on; False when there is no such endpoint."""
    return connection.execute(_MOVE_ENDPOINT, {"id": endpoint_id, "url": url}).rowcount == 1
