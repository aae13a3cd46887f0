"""
Tables that lie in partitions by time: one is there before its rows come, and goes whole when nothing refers to it.

Their key begins with a UUIDv7, so that a range of ids is a range of time: a row's id alone says in which partition it
is. What came while no partition was ready lies in the default one, as does what belongs to test messages, and in the
first all that was there before there were partitions: rows of these two go page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from sqlalchemy import Connection, TextClause, text

from shared.ids import first_id
from shared.voice_api.pretence import PRETENDED_PREFIX


@dataclass(frozen=True, slots=True)
class Parted:
    """A table in partitions, and the table whose rows it belongs to."""

    table: str
    key: str  # by which it is parted, and of the owner's rows
    prefix: str
    owner: str
    others: tuple[str, ...] = ()  # further prefixes of ids, behind all others: they lie in the default partition

    @property
    def default(self) -> str:
        """Takes what came while no partition of its time was ready."""
        return f"{self.table}_rest"

    def first_key(self, day: date, prefix: str = "") -> str:
        """The key that those of rows before that *day* (UTC) lie below."""
        return first_id(prefix or self.prefix, datetime.combine(day, time(), UTC))


PARTED: Final = (
    Parted("delivery_attempts", "callback_id", "cb", "callbacks"),
    Parted("call_legs", "attempt_id", "att", "dial_attempts", (PRETENDED_PREFIX.rstrip("_"),)),
)


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition by its name, which tells its days (UTC)."""

    name: str
    since: date | None  # None: all that was there before
    until: date  # not included
    is_attached: bool


def today(connection: Connection) -> date:
    """The database's day (UTC)."""
    found: date = connection.execute(text("SELECT (now() AT TIME ZONE 'UTC')::date")).scalar_one()
    return found


_KNOWN: Final = text(r"""
SELECT c.relname, i.inhrelid IS NOT NULL AS is_attached
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND c.relname ~ ('^' || :table || '_(\d{8}|before)_\d{8}$')
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table))
""")


def known(connection: Connection, parted: Parted) -> list[Partition]:
    """A table's partitions but the default one, oldest first, with those that were detached and not yet dropped."""
    found = []
    for row in connection.execute(_KNOWN, {"table": parted.table}):
        since, until = row.relname.removeprefix(f"{parted.table}_").split("_")
        begins = None if since == "before" else _day(since)
        found.append(Partition(row.relname, begins, _day(until), row.is_attached))
    return sorted(found, key=lambda one: one.until)


def _day(digits: str) -> date:
    return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date()


def is_taken(connection: Connection, parted: Parted, since: date, until: date) -> bool:
    """Whether the default partition has rows of that time, so that no other can have them."""
    asked = text(f"SELECT EXISTS (SELECT FROM {parted.default} WHERE {parted.key} >= :first AND {parted.key} < :end)")
    known = {"first": parted.first_key(since), "end": parted.first_key(until)}
    return bool(connection.execute(asked, known).scalar_one())


def is_over(connection: Connection, parted: Parted, one: Partition) -> bool:
    """Whether no row is left that those of a partition could belong to."""
    asked = text(f"SELECT NOT EXISTS (SELECT FROM {parted.owner} WHERE {parted.key} >= :first AND {parted.key} < :end)")
    first = "" if one.since is None else parted.first_key(one.since)
    return bool(connection.execute(asked, {"first": first, "end": parted.first_key(one.until)}).scalar_one())


def add(connection: Connection, parted: Parted, since: date, until: date) -> None:
    """
    Make the partition of some days. Others wait as long as it takes to look through the default one.

    Raises:
        sqlalchemy.exc.OperationalError: It could not be had at once; nothing has changed.
    """
    name = f"{parted.table}_{since:%Y%m%d}_{until:%Y%m%d}"
    _soon(connection)
    connection.execute(text(f"CREATE TABLE {name} (LIKE {parted.table} INCLUDING ALL)"))
    bounds = f"FROM ('{parted.first_key(since)}') TO ('{parted.first_key(until)}')"
    connection.execute(text(f"ALTER TABLE {parted.table} ATTACH PARTITION {name} FOR VALUES {bounds}"))


def detach(connection: Connection, parted: Parted, name: str) -> None:
    """
    Take a partition out of its table, as a table of its own: no row is touched, and everybody waits for a moment.

    Raises:
        sqlalchemy.exc.OperationalError: Somebody has the table for longer, as a backup; nothing has changed.
    """
    _soon(connection)
    connection.execute(text(f"ALTER TABLE {parted.table} DETACH PARTITION {name}"))


def drop(connection: Connection, name: str) -> None:
    """Drop what was detached; its file may be large, but nobody waits for it any more."""
    connection.execute(text(f"DROP TABLE IF EXISTS {name}"))


def _soon(connection: Connection) -> None:
    # Whoever comes meanwhile waits behind us.
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    connection.execute(text("SET LOCAL statement_timeout = '1s'"))


def delete_rows(connection: Connection, parted: Parted, name: str, before: date, *, page: int) -> int:
    """Delete rows that belong to nothing any more from a partition that does not go whole; says how many."""
    deleted = 0
    for prefix in (parted.prefix, *parted.others):
        span = {"first": f"{prefix}_", "end": parted.first_key(before, prefix), "page": page}
        deleted += connection.execute(_delete(parted, name), span).rowcount
    return deleted


def _delete(parted: Parted, name: str) -> TextClause:
    """A page of one prefix, up to what still has an owner."""
    key = parted.key
    return text(f"""
DELETE FROM {name} WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {name} WHERE {key} >= :first
    AND {key} < COALESCE((SELECT min({key}) FROM {parted.owner} WHERE {key} >= :first AND {key} < :end), :end)
  ORDER BY {key} LIMIT :page))
""")


def is_ours_alone(connection: Connection) -> bool:
    """Whether nobody else adds or drops partitions until this transaction ends."""
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(7464767806785)")).scalar_one())
