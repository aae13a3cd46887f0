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


# The attempt must lack a session, as one whose answer was lost does; the reconciling checks all else against it.
_MATCH_EVENT: Final = text("""
WITH event AS (
  SELECT inbox_id, session_id FROM webhook_inbox
  WHERE inbox_id = :id AND processed_at IS NULL AND session_id IS NOT NULL FOR UPDATE
), attempt AS (
  UPDATE dial_attempts a SET session_id = e.session_id FROM event e
  WHERE a.attempt_id = (
      SELECT x.attempt_id FROM dial_attempts x WHERE x.message_id = :message_id AND x.session_id IS NULL
        AND x.settled_at IS NULL AND (x.disposition IS NULL OR x.disposition = 'unknown')
      ORDER BY x.number DESC LIMIT 1)
    AND NOT EXISTS (SELECT FROM dial_attempts o WHERE o.session_id = e.session_id)
  RETURNING a.attempt_id
), again AS (
  UPDATE webhook_inbox w SET due_at = now(), attempts = 0, named_session_id = e.session_id
  FROM event e, attempt a WHERE w.inbox_id = e.inbox_id
)
SELECT attempt_id FROM attempt
""")


def match_event(connection: Connection, inbox_id: int, message_id: str) -> str | None:
    """
    Take an unmatched webhook for one of a message's doubtful calls.

    Args:
        connection: Of a transaction.
        inbox_id: Which webhook.
        message_id: Our id of the message.

    Returns:
        The attempt whose session it is from now on; None when there is no such webhook, or no such call.
    """
    found: str | None = connection.execute(_MATCH_EVENT, {"id": inbox_id, "message_id": message_id}).scalar()
    return found


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
