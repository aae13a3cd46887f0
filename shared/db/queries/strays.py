"""
Webhooks without a call of ours: how many may wait, and how long they are kept.

Whoever knows the webhooks' secret can send any number of them, and a subaccount that others use, too, sends theirs.
A genuine one is never among those that go: it names a session or an id of ours, or a number that is being called, and
so is either applied at once or *ambiguous*; only the moments between 8x8's call and our record of it are uncertain,
and those are left out.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

#: Results of such webhooks: of no call of ours, of one of several, and of a call that they contradict.
UNMATCHED: Final = "unmatched"
AMBIGUOUS: Final = "ambiguous"
CONTRADICTS: Final = "contradicts"
DROPPED: Final = "dropped"

#: None is kept for longer, in seconds, since it came (requirement W3).
_DAY_S: Final = 24 * 3600
_PAGE: Final = 5000
_CLOSED: Final = f"result IN ('{CONTRADICTS}', '{DROPPED}', '{UNMATCHED}')"

_PURGE: Final = text(f"""
DELETE FROM webhook_inbox WHERE inbox_id = ANY (ARRAY(
  SELECT inbox_id FROM webhook_inbox
  WHERE {_CLOSED} AND processed_at <= now() - :kept_s * interval '1 second' LIMIT :page))
""")


def purge(connection: Connection, *, tried_s: float) -> int:
    """Forget one page of those that are a day old, after *tried_s* of looking for a call; says how many."""
    return connection.execute(_PURGE, {"kept_s": _DAY_S - tried_s, "page": _PAGE}).rowcount


# The oldest go first: whatever could have been found for them has had its time. Their bodies go, the rows stay to be
# counted until the purge. Sessions are counted, and read by their index, only as far as the limit.
_DROP: Final = text(f"""
UPDATE webhook_inbox SET processed_at = now(), result = '{DROPPED}', body = ''
WHERE inbox_id = ANY (ARRAY(
  SELECT inbox_id FROM webhook_inbox
  WHERE processed_at IS NULL AND session_id IS NOT NULL AND result = '{UNMATCHED}'
    AND received_at < now() - :chance_s * interval '1 second'
  ORDER BY received_at
  LIMIT (SELECT LEAST(:page, GREATEST(0, count(*) - :most)) FROM (
    SELECT FROM webhook_inbox WHERE processed_at IS NULL AND session_id IS NOT NULL LIMIT :most + :page) x)
  FOR UPDATE SKIP LOCKED))
""")


def drop(connection: Connection, *, most: int, chance_s: float) -> int:
    """
    Give up one page of the oldest webhooks of unknown sessions where more than *most* wait; says how many.

    Those younger than *chance_s* stay, however many: 8x8's answer that names their session may be under way.
    """
    return connection.execute(_DROP, {"most": most, "chance_s": chance_s, "page": _PAGE}).rowcount


_TOO_MANY: Final = text("""
SELECT EXISTS (SELECT FROM webhook_inbox WHERE processed_at IS NULL AND session_id IS NOT NULL OFFSET :most)
""")


def are_too_many(connection: Connection, most: int) -> bool:
    """Whether more than *most* wait; reads no more of them than that."""
    return bool(connection.execute(_TOO_MANY, {"most": most}).scalar_one())
