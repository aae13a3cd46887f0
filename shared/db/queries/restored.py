"""
A PostgreSQL that was put back to a backup, and so lacks everything since that was made.

A dump in another cluster shows it by the server's identity, so that the first worker finds it out. A file-level copy in
its old place shows it by nothing: an operator tells of it, by :func:`declare_restored`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from shared.db.queries import failover
from shared.lifecycle import IN_FLIGHT, TO_DIAL, WAITING, Lane

_IS_COPY: Final = """
SELECT l.system_identifier = 0 OR l.system_identifier <> t.system_identifier FROM {identity} t, (
  SELECT system_identifier FROM servers ORDER BY found_at DESC, started_at DESC LIMIT 1) l
"""


def is_copy(connection: Connection) -> bool:
    """
    Whether a server that :func:`greet` did not know holds what another one wrote: a backup, and no standby.

    Args:
        connection: On which each statement commits by itself.
    """
    return bool(failover.asked(connection, _IS_COPY))


#: One at a time declares.
_LOCK: Final = text("SELECT pg_advisory_xact_lock(7264736)")
# No server has the identity 0, so this one is not the last, whichever it is.
_DECLARE: Final = text(f"""
WITH unknown AS (DELETE FROM servers WHERE started_at = pg_postmaster_start_time())
INSERT INTO servers (started_at, system_identifier, timeline, found_at) VALUES ('epoch', 0, 0, {failover.NEWEST})
ON CONFLICT (started_at) DO UPDATE SET found_at = excluded.found_at
RETURNING found_at
""")
#: More than all events that were told between a backup and its restore, and yet a number that JSON holds exactly.
LEAP: Final = 10**12
# Providers were told events that the copy lacks, and pass over any that does not come after those.
_LEAP: Final = text("""
WITH ahead AS (UPDATE providers SET last_sequence = last_sequence + :by RETURNING provider_id, last_sequence)
INSERT INTO feed_leaps (provider_id, after, up_to) SELECT provider_id, last_sequence - :by, last_sequence FROM ahead
""")
# Nobody knows whether they were dialled again after the backup, so how these calls ended is told, and no more is made.
_LAST_CALLS: Final = text("""
UPDATE messages SET redial_unknown = false, max_attempts = LEAST(max_attempts, attempt), spare_attempts = 0
WHERE finished_at IS NULL AND status = ANY (:in_flight) AND lane <> :test
""")


def declare_restored(connection: Connection) -> datetime:
    """
    Whatever the server says of itself, it holds a copy: nobody claims before all that waits is held.

    Args:
        connection: In a transaction.

    Returns:
        The present: what was accepted until now is old.
    """
    connection.execute(_LOCK)
    found_at: datetime = connection.execute(_DECLARE).scalar_one()
    connection.execute(_LEAP, {"by": LEAP})
    connection.execute(_LAST_CALLS, {"in_flight": sorted(IN_FLIGHT), "test": Lane.TEST})
    return found_at


_DECLARED: Final = text(f"""
SELECT {failover.KNOWN} AS is_known, (SELECT found_at FROM (
  SELECT system_identifier, found_at FROM servers ORDER BY found_at DESC, started_at DESC LIMIT 1) l
  WHERE system_identifier = 0) AS found_at
""")


def since_when(connection: Connection) -> datetime | None:
    """
    When this copy was found, the same for whoever asks; None once all of it is held and the server is known.

    Args:
        connection: In a transaction.
    """
    connection.execute(_LOCK)
    row = connection.execute(_DECLARED).one()
    if row.is_known:
        return None
    return row.found_at or declare_restored(connection)


_DUE: Final = text("""
SELECT count(*) FROM messages
WHERE finished_at IS NULL AND lane <> :test AND (status = ANY (:to_dial) OR status = ANY (:waiting) AND due_at <= now())
""")


def count_due(connection: Connection) -> int:
    """Messages that would be dialled, at once or once nothing keeps them back any more."""
    asked = {"to_dial": sorted(TO_DIAL), "waiting": sorted(WAITING), "test": Lane.TEST}
    return int(connection.execute(_DUE, asked).scalar_one())
