"""Forget a phone number: what is stored about it goes, what became of its messages stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from shared.db.queries import moves
from shared.lifecycle import TRANSITIONS, Event, Move
from shared.reasons import Reason

MASK: Final = "****"
_CANCELABLE: Final = sorted(TRANSITIONS[Event.CANCEL_ASKED].sources)

_OF_NUMBER: Final = text("""
SELECT id, status, finished_at IS NOT NULL AS is_final FROM messages
WHERE destination_key = :key AND (CAST(:provider_id AS text) IS NULL OR provider_id = :provider_id)
ORDER BY id FOR NO KEY UPDATE
""")
_SUPPRESSED: Final = text("""
SELECT count(*) FROM suppressions
WHERE destination_key = :key AND (CAST(:provider_id AS text) IS NULL OR provider_id = :provider_id)
""")
# The hash of an id stands where the hash of the number was: it tells nothing, and no two messages seem to go to one
# phone. Each part is a table of its own.
_ERASE: Final = text(f"""
WITH gone AS (
  UPDATE messages SET destination_masked = '{MASK}', destination_key = decode(md5(id), 'hex'), metadata = '{{}}',
    warnings = '[]', traceparent = NULL
  WHERE id = ANY (:ids) RETURNING id
), attempts AS (
  UPDATE dial_attempts a SET destination_key = decode(md5(a.attempt_id), 'hex'), key_pressed = NULL,
    status_message = NULL, error_message = NULL
  FROM gone g WHERE a.message_id = g.id RETURNING a.attempt_id, a.session_id
), legs AS (
  DELETE FROM call_legs l USING attempts a WHERE l.attempt_id = a.attempt_id RETURNING 1
), events AS (
  UPDATE feed_events f SET facts = f.facts - 'keyPressed'
  FROM gone g WHERE f.message_id = g.id AND f.facts ? 'keyPressed' RETURNING 1
), deliveries AS (
  UPDATE delivery_attempts d SET reply = NULL FROM callbacks c, gone g
  WHERE c.message_id = g.id AND d.callback_id = c.callback_id AND d.reply IS NOT NULL RETURNING 1
), webhooks AS (
  DELETE FROM webhook_inbox i USING attempts a
  WHERE i.processed_at IS NOT NULL AND a.session_id IN (i.named_session_id, i.session_id) RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS messages, (SELECT count(*) FROM attempts) AS attempts,
  (SELECT count(*) FROM legs) AS legs, (SELECT count(*) FROM events) AS events,
  (SELECT count(*) FROM deliveries) AS replies, (SELECT count(*) FROM webhooks) AS webhooks
""")


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased of a number, and what was not."""

    canceled: int
    counts: dict[str, int]  # rows, by what they are
    under_way: int  # messages whose call may be up: nothing of them is erased yet
    suppressions: int  # that stay, as a keyed hash


def erase(connection: Connection, key: bytes, provider_id: str | None) -> Erased:
    """
    Cancel what waits for a number, and erase what is stored about it.

    Args:
        connection: In a transaction.
        key: The number's keyed hash.
        provider_id: Only of this provider; None for all.
    """
    asked = {"key": key, "provider_id": provider_id}
    rows = connection.execute(_OF_NUMBER, asked).all()
    waiting = [row.id for row in rows if row.status in _CANCELABLE]
    ended = moves.apply(
        connection, [Move(id_, Event.CANCEL_ASKED, reason=Reason.CANCELED_BY_SENDER) for id_ in waiting]
    )
    ids = [*(row.id for row in rows if row.is_final), *(one.message_id for one in ended)]
    counts: dict[str, int] = dict(connection.execute(_ERASE, {"ids": ids}).mappings().one())
    kept = int(connection.execute(_SUPPRESSED, asked).scalar_one())
    return Erased(len(ended), counts, len(rows) - len(ids), kept)


_INBOX: Final = text("""
SELECT inbox_id, dedupe_key, body, processed_at IS NOT NULL AS is_over FROM webhook_inbox
WHERE inbox_id > :after ORDER BY inbox_id LIMIT :page
""")


def erase_webhooks(
    connection: Connection, names: Callable[[bytes, str], bool], *, after: int, page: int
) -> tuple[int | None, int, int]:
    """
    Delete those of a page of kept webhooks that name a number, whatever they were matched to.

    Args:
        connection: In a transaction.
        names: Whether a sealed body, with its row's name, does.
        after: The webhook after which the page begins.
        page: So many at most.

    Returns:
        Where the next page begins, None after the last; how many were deleted; how many wait to be reconciled first.
    """
    rows: Sequence[Any] = connection.execute(_INBOX, {"after": after, "page": page}).all()
    found = [row for row in rows if names(bytes(row.body), row.dedupe_key)]
    gone = [row.inbox_id for row in found if row.is_over]
    if gone:
        connection.execute(text("DELETE FROM webhook_inbox WHERE inbox_id = ANY (:ids)"), {"ids": gone})
    return (rows[-1].inbox_id if len(rows) == page else None), len(gone), len(found) - len(gone)
