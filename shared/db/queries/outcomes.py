"""Whether the codes that were spoken were used, as providers tell."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, text

from shared.lifecycle import ANSWERABLE, Lane

_REPORT: Final = text("""
WITH told AS (
  SELECT id, message_id, provider_id, country, status FROM messages
  WHERE id = :id AND provider_id = :provider_id AND (lane = :test OR NOT :tests_only)
), kept AS (
  INSERT INTO outcomes (message_id, provider_id, country, verified)
  SELECT id, provider_id, country, :verified FROM told WHERE status = ANY (:answerable)
  ON CONFLICT (message_id) DO UPDATE SET verified = excluded.verified,
    reported_at = CASE WHEN outcomes.verified = excluded.verified THEN outcomes.reported_at ELSE now() END
  RETURNING verified, reported_at
)
SELECT t.id, t.message_id, t.status, k.verified, k.reported_at FROM told t LEFT JOIN kept k ON true
""")


def report(connection: Connection, provider_id: str, id_: str, *, verified: bool, tests_only: bool) -> Any | None:
    """
    Keep what a provider tells of its message; the same again changes nothing, the contrary takes its place.

    Args:
        connection: Of one statement or more.
        provider_id: Who tells it.
        id_: Our id of the message.
        verified: Whether the code was used.
        tests_only: A live message is none that the provider has.

    Returns:
        ``id``, ``message_id``, ``status``, ``verified`` and ``reported_at``, the last two None where the message has
        not been answered yet; None when the provider has no such message.
    """
    asked = {"id": id_, "provider_id": provider_id, "tests_only": tests_only}
    fixed = {"test": Lane.TEST, "answerable": sorted(ANSWERABLE)}
    return connection.execute(_REPORT, {**asked, **fixed, "verified": verified}).first()
