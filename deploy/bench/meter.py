"""What a run costs: processor time by role, SQL statements, transactions, rings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psutil
import psycopg2
import redis

from deploy.bench.crew import difference, family_spent_s
from deploy.engines import Engines

_EXTENSION: Final = "pg_stat_statements"


@dataclass(frozen=True, slots=True)
class Reading:
    """Counts since the beginning; ``statements`` is None where PostgreSQL does not count them."""

    own_s: Mapping[str, float]
    postgres_s: float
    valkey_s: float
    statements: int | None
    transactions: int
    rings: int

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
        )

    @property
    def own_total_s(self) -> float:
        """Processor seconds of all our processes."""
        return sum(self.own_s.values())

    @property
    def total_s(self) -> float:
        """With the engines' as well."""
        return self.own_total_s + self.postgres_s + self.valkey_s


def enable_statement_counts(engines: Engines) -> bool:
    """Have the embedded PostgreSQL count statements, which takes a restart; False where it cannot."""
    if engines.postgres is None:
        return False
    with _cursor(engines.postgres.url("postgres")) as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = %s", (_EXTENSION,))
        if cursor.fetchone() is None:
            return False
        cursor.execute(f"ALTER SYSTEM SET shared_preload_libraries = '{_EXTENSION}'")
    engines.postgres.stop()
    engines.postgres.start()
    with _cursor(engines.database_url) as cursor:
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
            postgres_s=self._engine_s(self._engines.postgres),
            valkey_s=self._engine_s(self._engines.valkey),
            statements=self._statements() if self.counts_statements else None,
            transactions=self._one(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            ),
            rings=int(commands.get("cmdstat_rpush", {}).get("calls", 0)),
        )

    def _statements(self) -> int:
        """Those of the measured, without BEGIN and COMMIT, which are transactions; ours come from elsewhere."""
        return self._one(
            "SELECT COALESCE(sum(calls), 0)::bigint FROM pg_stat_statements"
            " JOIN pg_database d ON d.oid = dbid WHERE d.datname = current_database()"
            " AND query NOT ILIKE 'BEGIN%%' AND query NOT ILIKE 'COMMIT%%' AND query NOT ILIKE 'ROLLBACK%%'"
        )

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


class _cursor:  # noqa: N801  used like a function
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
