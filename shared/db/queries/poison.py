"""What kills whoever handles it is parked after five tries: counted in the row, as a kill -9 tells nobody else."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from shared.db.prepared import Prepared
from shared.db.queries.inbox import MAX_TRIES

# A try that came to nothing at all has its row, but no time that it took. What died twice is parted from what was in
# hand with it, two seconds each, so that only the one that kills goes on to be counted.
_PART: Final = Prepared(
    """
WITH silent AS (
  SELECT c.callback_id, (
      SELECT count(*) FROM delivery_attempts d
      WHERE d.callback_id = c.callback_id AND d.number > GREATEST(c.failures_forgiven, c.attempts - :tries)
        AND d.elapsed_ms IS NULL) AS tries
  FROM endpoints e CROSS JOIN LATERAL (
    SELECT * FROM callbacks
    WHERE endpoint_id = e.endpoint_id AND state IN ('due', 'sending') AND due_at <= now()
    ORDER BY due_at LIMIT 200 FOR NO KEY UPDATE SKIP LOCKED) c
  WHERE c.state = 'sending'
), placed AS (
  SELECT callback_id, tries, row_number() OVER (ORDER BY tries, callback_id) AS place FROM silent WHERE tries >= 2
)
UPDATE callbacks c SET
  state = CASE WHEN p.tries >= :tries THEN 'parked' ELSE 'due' END,
  due_at = CASE WHEN p.tries < :tries THEN now() + (p.place - 1) * interval '2 seconds' END,
  finished_at = CASE WHEN p.tries >= :tries THEN now() END
FROM placed p WHERE c.callback_id = p.callback_id
RETURNING c.callback_id, c.state = 'parked' AS is_parked
""",
    tries="int",
)


def part_callbacks(connection: Connection) -> list[str]:
    """See to callbacks whose worker died with them more than once; the ids of those parked."""
    return [row.callback_id for row in _PART(connection, tries=MAX_TRIES) if row.is_parked]
