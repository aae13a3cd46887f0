"""
For comparison only: summaries reconciled as a good tutorial does it, on Ringpost's own tables.

One summary, six plain statements, one transaction: read the inbox row, find the message by its session, update it,
insert the call leg, insert the feed event with its callbacks, close the inbox row. Bare psycopg2, the quickest client;
it settles no attempt, looks at no second candidate and opens no delivery, all of which Ringpost's step does.
"""

from __future__ import annotations

import json
from typing import Any, Final

import psycopg2

from shared.ids import new_id
from shared.lifecycle import Status
from shared.sealing import Sealer

_READ: Final = """
SELECT inbox_id, dedupe_key, body FROM webhook_inbox WHERE processed_at IS NULL AND due_at <= now()
ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_FIND: Final = """
SELECT m.id, m.provider_id, m.attempt, a.attempt_id FROM dial_attempts a JOIN messages m ON m.id = a.message_id
WHERE a.session_id = %s FOR UPDATE OF m
"""
_UPDATE: Final = """
UPDATE messages SET status = %s, due_at = NULL, finished_at = now(), content = NULL, busy_destination = NULL,
  busy_until = NULL, updated_at = now()
WHERE id = %s
"""
_LEG: Final = """
INSERT INTO call_legs (session_id, leg, attempt_id, call_id, direction, call_status, connected_at, disconnected_at,
  duration_seconds, source_country, destination_country, mos)
VALUES (%s, 'callA', %s, %s, 'outbound', %s, %s, %s, %s, %s, %s, %s)
"""
_TELL: Final = """
WITH numbered AS (
  UPDATE providers SET last_sequence = last_sequence + 1 WHERE provider_id = %(provider)s RETURNING last_sequence
), event AS (
  INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts)
  SELECT %(event)s, %(provider)s, last_sequence, %(message)s, 'message.' || %(status)s, %(status)s, %(facts)s
  FROM numbered
)
INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, state, due_at)
SELECT 'cb_' || substr(%(event)s, 5) || '_' || row_number() OVER (), %(event)s, endpoint_id, %(message)s, 'due', now()
FROM endpoints WHERE provider_id = %(provider)s
"""
_CLOSE: Final = "UPDATE webhook_inbox SET processed_at = now(), result = 'settled' WHERE inbox_id = %s"


class ByRow:
    """Takes one summary after the other."""

    def __init__(self, url: str, sealer: Sealer) -> None:
        self._connection = psycopg2.connect(url)
        self._sealer = sealer

    def __call__(self) -> int:
        """Handle what is in the inbox; says how many summaries."""
        count = 0
        while self._one():
            count += 1
        return count

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _one(self) -> bool:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(_READ)
            row = cursor.fetchone()
            if row is None:
                return False
            inbox_id, key, body = row
            payload = json.loads(self._sealer.unseal(bytes(body), row=key))["payload"]
            cursor.execute(_FIND, (payload["sessionId"],))
            found = cursor.fetchone()
            if found is not None:
                _write(cursor, payload, *found)
            cursor.execute(_CLOSE, (inbox_id,))
            return True


def _write(cursor: Any, payload: dict[str, Any], message: str, provider: str, attempt: int, attempt_id: str) -> None:
    leg = payload["details"]["callA"]
    facts = {"attempts": attempt, "sessionId": payload["sessionId"], "durationSeconds": leg["callDuration"]}
    cursor.execute(_UPDATE, (str(Status.DELIVERED), message))
    cursor.execute(
        _LEG,
        (payload["sessionId"], attempt_id, leg["callId"], leg["callStatus"], leg["connectedTimestamp"],
         leg["disconnectedTimestamp"], leg["callDuration"], leg["sourceCountryCode"], leg["destinationCountryCode"],
         leg["callQuality"]["mos"]),
    )  # fmt: skip
    told = {"event": new_id("evt"), "provider": provider, "message": message, "status": str(Status.DELIVERED)}
    cursor.execute(_TELL, told | {"facts": json.dumps(facts)})
