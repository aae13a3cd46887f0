"""What a run costs: processor time by role, SQL statements, transactions, rings, disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psutil
import psycopg2
import redis

from deploy.bench.crew import difference, family_spent_s
from deploy.engines import Engines
from shared.db.tables import METADATA

_EXTENSION: Final = "pg_stat_statements"
_CHANGE: Final = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+([a-z_]+)")
_READ: Final = re.compile(r"\b(FROM|JOIN)\s+([a-z_]+)")
_WORDS: Final = 3
#: Of the measured, without BEGIN and COMMIT, which are transactions; ours come from elsewhere.
_COUNTED: Final = (
    " FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = current_database()"
    " AND query NOT ILIKE 'BEGIN%%' AND query NOT ILIKE 'COMMIT%%' AND query NOT ILIKE 'ROLLBACK%%'"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts since the beginning; ``statements`` is None where PostgreSQL does not count them."""

    own_s: Mapping[str, float]
    postgres_s: float
    valkey_s: float
    statements: int | None
    transactions: int
    rings: int
    stored_bytes: int
    wal_bytes: int

    def since(self, earlier: Reading) -> Reading:
        """What has been used since then."""
        counted = self.statements is not None and earlier.statements is not None
        return Reading(
            difference(self.own_s, earlier.own_s),
            self.postgres_s - earlier.postgres_s,
            self.valkey_s - earlier.valkey_s,
            (self.statements or 0) - (earlier.statements or 0) if counted else None,
            self.transactions - earlier.transactions,
            self.rings - earlier.rings,
            self.stored_bytes - earlier.stored_bytes,
            self.wal_bytes - earlier.wal_bytes,
        )

    @property
    def own_total_s(self) -> float:
        """Processor seconds of all our processes."""
        return sum(self.own_s.values())

    @property
    def total_s(self) -> float:
        """With the engines' as well."""
        return self.own_total_s + self.postgres_s + self.valkey_s


@dataclass(frozen=True, slots=True)
class Statements:
    """Calls of each statement and its milliseconds in PostgreSQL; empty where they are not counted."""

    spent: Mapping[str, tuple[int, float]]

    def until(self, later: Statements) -> Statements:
        """What has been spent up to *later*."""
        known = {text: self.spent.get(text, (0, 0.0)) for text in later.spent}
        grown = {
            text: (calls - known[text][0], spent_ms - known[text][1]) for text, (calls, spent_ms) in later.spent.items()
        }
        return Statements({text: spent for text, spent in grown.items() if spent[0]})

    def top(self, count: int) -> list[tuple[str, int, float]]:
        """Those that took longest: what each does, its calls and its milliseconds."""
        ordered = sorted(self.spent.items(), key=lambda entry: entry[1][1], reverse=True)
        return [(told(text), calls, spent_ms) for text, (calls, spent_ms) in ordered[:count]]


def told(statement: str) -> str:
    """What a statement does, in few words: the tables that it changes, else those that it reads."""
    changes = dict.fromkeys(f"{verb.lower()} {table}" for verb, table in _named(_CHANGE, statement))
    reads = dict.fromkeys(f"read {table}" for _, table in _named(_READ, statement))
    words = [*(changes or reads or {" ".join(statement.split())[:60]: None})]
    more = f" and {len(words) - _WORDS} more" if len(words) > _WORDS else ""
    return ", ".join(words[:_WORDS]) + more


def _named(pattern: re.Pattern[str], statement: str) -> list[tuple[str, str]]:
    """Tables of ours after a verb: there are aliases and names of subqueries, too."""
    return [(verb, table) for verb, table in pattern.findall(statement) if table in METADATA.tables]


def enable_statement_counts(engines: Engines) -> bool:
    """Have the embedded PostgreSQL count statements, which takes a restart; False where it cannot."""
    if engines.postgres is None:
        return False
    with _Cursor(engines.postgres.url("postgres")) as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = %s", (_EXTENSION,))
        if cursor.fetchone() is None:
            return False
        cursor.execute(f"ALTER SYSTEM SET shared_preload_libraries = '{_EXTENSION}'")
    engines.postgres.stop()
    engines.postgres.start()
    with _Cursor(engines.database_url) as cursor:
        cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {_EXTENSION}")
    return True


class Meter:
    """Reads the counters of one database and the processor time of its users."""

    def __init__(self, engines: Engines, database_url: str, spent_s: Callable[[], Mapping[str, float]]) -> None:
        self._engines = engines
        self._spent_s = spent_s
        self._connection = psycopg2.connect(database_url)
        self._connection.autocommit = True
        self._redis: Any = redis.Redis.from_url(engines.redis_url)
        self.counts_statements = self._one("SELECT count(*) FROM pg_extension WHERE extname = %s", _EXTENSION) == 1

    def close(self) -> None:
        """Let go of the engines."""
        self._connection.close()
        self._redis.close()

    def read(self) -> Reading:
        """Everything, now."""
        commands = self._redis.info("commandstats")
        return Reading(
            own_s=self._spent_s(),
            postgres_s=self.postgres_s(),
            valkey_s=self._engine_s(self._engines.valkey),
            statements=self._statements() if self.counts_statements else None,
            transactions=self._one(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            ),
            rings=int(commands.get("cmdstat_rpush", {}).get("calls", 0)),
            stored_bytes=self._one("SELECT pg_database_size(current_database())"),
            wal_bytes=self._one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"),
        )

    def postgres_s(self) -> float:
        """PostgreSQL's processor seconds, now."""
        return self._engine_s(self._engines.postgres)

    def by_statement(self) -> Statements:
        """What each statement has cost so far."""
        if not self.counts_statements:
            return Statements({})
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT query, sum(calls)::bigint, sum(total_exec_time)::float8{_COUNTED} GROUP BY 1", ())
            return Statements({query: (int(calls), float(spent_ms)) for query, calls, spent_ms in cursor})

    def _statements(self) -> int:
        return self._one(f"SELECT COALESCE(sum(calls), 0)::bigint{_COUNTED}")

    def _one(self, statement: str, *values: Any) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            row = cursor.fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    @staticmethod
    def _engine_s(engine: Any) -> float:
        pid = engine.pid if engine is not None else None
        if pid is None:
            return 0.0
        head = psutil.Process(pid)
        return family_spent_s([head, *head.children(recursive=True)])


class _Cursor:
    """A cursor on a connection of its own, each statement committed."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def __enter__(self) -> psycopg2.extensions.cursor:
        self._open = self._connection.cursor()
        return self._open

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._connection.close()
