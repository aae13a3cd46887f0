"""
A provider's event feed, read in the order of its sequence.

Sequences are given under the provider's row lock, which is held until they are committed: whoever sees an event sees
every one before it. One statement reads the events and what was purged before them, so that both are of one moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import Connection

from shared.callback import envelope, event_of
from shared.db.prepared import Prepared
from shared.lifecycle import Lane

#: Events that one page of a test key looks at, as it passes over those of live messages.
SCANNED: Final = 2000

_PAGE: Final = Prepared(
    f"""
WITH looked AS MATERIALIZED (
  SELECT f.sequence, f.type, f.occurred_at, f.status, f.reason, f.facts, f.message_id AS feed_id,
    m.id, m.message_id, m.lane, m.test_type, m.destination_masked, m.metadata
  FROM feed_events f LEFT JOIN messages m ON m.id = f.message_id
  WHERE f.provider_id = :provider_id AND f.sequence > :after ORDER BY f.sequence LIMIT :scanned
)
SELECT p.purged_sequence, p.last_sequence,
  (SELECT CASE WHEN count(*) < :scanned THEN p.last_sequence ELSE max(sequence) END FROM looked) AS looked, l.*
FROM providers p LEFT JOIN looked l ON NOT :tests_only OR l.lane = '{Lane.TEST}'
WHERE p.provider_id = :provider_id ORDER BY l.sequence LIMIT :wanted
""",
    provider_id="text",
    after="bigint",
    scanned="int",
    tests_only="boolean",
    wanted="int",
)
_LAST: Final = Prepared(
    "SELECT provider_id, last_sequence FROM providers WHERE provider_id = ANY (:provider_ids)", provider_ids="text[]"
)


@dataclass(frozen=True, slots=True)
class Page:
    """Events as callbacks carry them."""

    events: Sequence[dict[str, Any]]
    seen: int  # where to go on: up to here nothing was left out that may be seen
    last: int  # there are events up to this one
    purged: int  # those up to this one are gone

    @property
    def has_more(self) -> bool:
        """Whether there are events behind those that were looked at."""
        return self.seen < self.last


def page(
    connection: Connection,
    provider_id: str,
    after: int,
    limit: int,
    *,
    tests_only: bool = False,
    scanned: int = SCANNED,
) -> Page:
    """
    The first events behind *after*.

    Args:
        connection: May commit each statement by itself.
        provider_id: Whose feed.
        after: A sequence, 0 for the beginning.
        limit: Most events.
        tests_only: Live messages' events are passed over.
        scanned: Events that are looked at, where some are passed over.
    """
    asked = {"provider_id": provider_id, "after": after, "tests_only": tests_only, "wanted": limit + 1}
    rows = _PAGE(connection, **asked, scanned=scanned if tests_only else limit)
    last, purged, looked = (rows[0].last_sequence, rows[0].purged_sequence, rows[0].looked) if rows else (0, 0, None)
    shown = [row for row in rows if row.sequence is not None]
    seen = shown[limit - 1].sequence if len(shown) > limit else max(after, purged, looked or 0)
    return Page([_event(row) for row in shown[:limit]], seen, last, purged)


def _event(row: Any) -> dict[str, Any]:
    """One event; of a message that was purged before it, nobody knows any more what the message said of itself."""
    if row.id is not None:
        return envelope(event_of(row))
    unknown = {"id": row.feed_id, "message_id": "", "lane": "", "destination_masked": "", "metadata": {}}
    told = envelope(event_of(SimpleNamespace(**row._asdict() | unknown)))
    told["data"] |= {"messageId": None, "type": None}
    return told


def lasts(connection: Connection, provider_ids: Sequence[str]) -> dict[str, int]:
    """The last sequence of each provider."""
    return {row.provider_id: row.last_sequence for row in _LAST(connection, provider_ids=list(provider_ids))}
