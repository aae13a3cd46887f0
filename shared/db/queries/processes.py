"""The processes at work: each tells that it lives, and is told when an operator wants it to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, RowMapping, text

#: A process that says nothing for so long is forgotten, in seconds; before that, people see that it is silent.
_FORGOTTEN_S: Final = 600


@dataclass(frozen=True, slots=True)
class Process:
    """What a process says of itself."""

    process_id: str
    work: str  # web, sweeper, or the queues that it works on
    host: str
    pid: int
    version: str
    rss_bytes: int | None


_BEAT: Final = text(f"""
WITH gone AS (
  DELETE FROM processes WHERE beat_at < now() - {_FORGOTTEN_S} * interval '1 second' AND process_id <> :process_id
)
INSERT INTO processes (process_id, work, host, pid, version, rss_bytes)
VALUES (:process_id, :work, :host, :pid, :version, :rss_bytes)
ON CONFLICT (process_id) DO UPDATE SET beat_at = now(), rss_bytes = excluded.rss_bytes
RETURNING drain_asked_at IS NOT NULL AS is_to_end
""")


def beat(connection: Connection, process: Process) -> bool:
    """Tell that *process* lives; whether somebody asked that it end."""
    told = {name: getattr(process, name) for name in ("process_id", "work", "host", "pid", "version", "rss_bytes")}
    return bool(connection.execute(_BEAT, told).scalar_one())


def leave(connection: Connection, process_id: str) -> None:
    """It ends."""
    connection.execute(text("DELETE FROM processes WHERE process_id = :id"), {"id": process_id})


_LIST: Final = text("""
SELECT process_id, work, host, pid, version, rss_bytes, started_at, drain_asked_at, drain_asked_by,
  EXTRACT(EPOCH FROM now() - beat_at)::float8 AS silent_s
FROM processes ORDER BY work, host, started_at, process_id
""")


def listed(connection: Connection) -> Sequence[RowMapping]:
    """Every process, by what it does."""
    return connection.execute(_LIST).mappings().all()


_DRAIN: Final = text("""
UPDATE processes SET drain_asked_at = now(), drain_asked_by = :by
WHERE process_id = :id AND drain_asked_at IS NULL
""")


def ask_to_drain(connection: Connection, process_id: str, *, by: str) -> bool:
    """Let a process finish what is under way and end; False when it is asked already or not there."""
    return connection.execute(_DRAIN, {"id": process_id, "by": by}).rowcount == 1
