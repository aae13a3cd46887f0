"""
What becomes of messages whose time is over: counted, and deleted with all that belongs to them.

A message is buried first: its messageId is written where accepting looks, too. It is deleted later than any statement
can last that began before, so that no repetition ever finds neither the message nor its grave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

#: Longer than any statement may take, in seconds.
_GRAVE_S: Final = 10
_OLD: Final = "now() - :keep_s * interval '1 second'"
_UNTOLD: Final = "EXISTS (SELECT FROM callbacks c WHERE c.message_id = {id} AND c.state IN ('due', 'sending'))"

# In the order of the ids, which is that of time: an index on the end of each message would cost every message.
_BURY: Final = text(f"""
WITH page AS MATERIALIZED (
  SELECT id, provider_id, message_id, fingerprint, lane, status, reason, deadline, finished_at, created_at
  FROM messages WHERE id > :after ORDER BY id LIMIT :page
), buried AS (
  INSERT INTO past_messages (provider_id, message_id, id, fingerprint, lane, status, reason, deadline, buried_at)
  SELECT provider_id, message_id, id, fingerprint, lane, status, reason, deadline, now() FROM page p
  WHERE finished_at <= {_OLD} AND NOT {_UNTOLD.format(id="p.id")}
  ON CONFLICT DO NOTHING
  RETURNING id
)
SELECT max(id) AS last, COALESCE(bool_and(created_at <= {_OLD}) AND count(*) = :page, false) AS goes_on,
  (SELECT count(*) FROM buried) AS buried
FROM page
""")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages looked at, oldest first."""

    last: str
    goes_on: bool  # older ones may follow
    buried: int


def bury(connection: Connection, keep_s: float, *, after: str, page: int) -> Page:
    """Mark the messages of one page that were final *keep_s* seconds ago, and called back or given up."""
    row = connection.execute(_BURY, {"keep_s": keep_s, "after": after, "page": page}).one()
    return Page(row.last or after, row.goes_on, row.buried)


_DELETE: Final = text(f"""
WITH due AS MATERIALIZED (
  SELECT p.id FROM past_messages p
  WHERE p.buried_at <= now() - {_GRAVE_S} * interval '1 second' AND NOT {_UNTOLD.format(id="p.id")}
  ORDER BY p.buried_at LIMIT :page FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM messages m USING due d WHERE m.id = d.id
  RETURNING m.id, m.provider_id, m.message_id, m.lane, m.status, m.reason, m.country, m.finished_at
), attempts AS (
  DELETE FROM dial_attempts a USING gone g WHERE a.message_id = g.id RETURNING a.attempt_id
), lookups AS (
  DELETE FROM log_lookups k USING attempts a WHERE k.attempt_id = a.attempt_id
), outcomes AS (
  DELETE FROM outcomes o USING gone g WHERE o.message_id = g.id
), told AS (
  DELETE FROM callbacks c USING gone g WHERE c.message_id = g.id
), kept AS (
  UPDATE past_messages p SET buried_at = NULL, status = g.status, reason = g.reason
  FROM gone g WHERE p.provider_id = g.provider_id AND p.message_id = g.message_id
), counted AS (
  INSERT INTO daily_totals AS t
    (provider_id, day, country, lane, status, reason, messages, attempts, talk_seconds)
  SELECT g.provider_id, (g.finished_at AT TIME ZONE 'UTC')::date, g.country, g.lane, g.status, COALESCE(g.reason, ''),
    count(*), sum(a.calls), sum(a.seconds)
  FROM gone g CROSS JOIN LATERAL (
    SELECT count(*) AS calls, COALESCE(sum(a.duration_seconds), 0) AS seconds
    FROM dial_attempts a WHERE a.message_id = g.id) a
  GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
  ON CONFLICT (provider_id, day, country, lane, status, reason) DO UPDATE SET
    messages = t.messages + excluded.messages,
    attempts = t.attempts + excluded.attempts,
    talk_seconds = t.talk_seconds + excluded.talk_seconds
)
SELECT count(*) FROM gone
""")


def delete(connection: Connection, *, page: int) -> int:
    """
    Count buried messages into the daily totals and delete them with their parts, in one statement; says how many.

    Call legs and tries of callbacks, which nobody finds any more, go with their partition.
    """
    return int(connection.execute(_DELETE, {"page": page}).scalar_one())


# A feed has no gaps, and messages end in another order than they came: only its beginning is cut off, up to the first
# event that is young or whose message is still there. Whoever writes to the feed waits for the provider's row.
_CUT_FEED: Final = text(f"""
WITH old AS MATERIALIZED (
  SELECT provider_id, purged_sequence AS done FROM providers WHERE provider_id = :provider_id
  FOR NO KEY UPDATE SKIP LOCKED
), beginning AS MATERIALIZED (
  SELECT o.done, c.cut FROM old o CROSS JOIN LATERAL (
    SELECT COALESCE(min(e.sequence) FILTER (WHERE NOT e.is_over) - 1, max(e.sequence)) AS cut FROM (
      SELECT f.sequence, f.occurred_at <= {_OLD} AND NOT EXISTS (SELECT FROM messages m WHERE m.id = f.message_id)
        AS is_over
      FROM feed_events f WHERE f.provider_id = :provider_id AND f.sequence > o.done
      ORDER BY f.sequence LIMIT :page) e) c
  WHERE c.cut > o.done
), gone AS (
  DELETE FROM feed_events f USING beginning c
  WHERE f.provider_id = :provider_id AND f.sequence > c.done AND f.sequence <= c.cut
  RETURNING f.event_id
), moved AS (
  UPDATE providers p SET purged_sequence = c.cut FROM beginning c WHERE p.provider_id = :provider_id
)
SELECT count(*) FROM gone
""")


def feeds(connection: Connection) -> list[str]:
    """The providers whose feeds have events."""
    rows = connection.execute(text("SELECT provider_id FROM providers WHERE purged_sequence < last_sequence"))
    return [row.provider_id for row in rows]


def cut_feed(connection: Connection, keep_s: float, *, provider_id: str, page: int) -> int:
    """Delete the beginning of a provider's feed, as far as its messages are gone; says how many events."""
    asked = {"keep_s": keep_s, "provider_id": provider_id, "page": page}
    return int(connection.execute(_CUT_FEED, asked).scalar_one())


# What waits to be dialled expires at its deadline. A call that is long, or whose summary is late, needs no text.
_ERASE_TEXTS: Final = text("""
UPDATE messages SET content = '' WHERE id IN (
  SELECT id FROM messages
  WHERE finished_at IS NULL AND status IN ('dialing', 'dial_unknown', 'placed', 'answered')
    AND deadline <= now() - interval '1 hour' AND content <> '' LIMIT :page
  FOR NO KEY UPDATE SKIP LOCKED)
""")


def erase_texts(connection: Connection, page: int) -> int:
    """Erase one page of texts and numbers of messages that are open an hour after their deadline; says how many."""
    return connection.execute(_ERASE_TEXTS, {"page": page}).rowcount


_FORGET_PARKED: Final = text(f"""
DELETE FROM webhook_inbox WHERE inbox_id IN (
  SELECT inbox_id FROM webhook_inbox WHERE result = 'parked' AND processed_at <= {_OLD} ORDER BY inbox_id LIMIT :page)
""")


def forget_parked(connection: Connection, keep_s: float, *, page: int) -> int:
    """Delete webhooks that were set aside and that nobody took up; says how many."""
    return connection.execute(_FORGET_PARKED, {"keep_s": keep_s, "page": page}).rowcount
