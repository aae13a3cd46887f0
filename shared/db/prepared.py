"""
Statements that PostgreSQL plans once a connection instead of at each use.

Planning took longer than carrying out: 1.3 ms of a lone claim, and most of PostgreSQL's time in a burst. The plans are
generic, as the batch behind a JSON parameter is the same to the planner whatever it holds.

They go out on psycopg2's own cursor: SQLAlchemy's execute takes 86 us of a statement of eight rows, the cursor 35.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any, Final

import psycopg2
from psycopg2.extras import NamedTupleCursor
from sqlalchemy import Connection, text

from shared.db.failures import as_sqlalchemy

#: invalid_sql_statement_name, duplicate_prepared_statement: behind the connection stands a pool of others.
POOLED_STATES: Final = frozenset({"26000", "42P05"})

_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)\b")
#: In a connection's ``info``: what is prepared on it and how often it was used, or None where each statement is to be
#: planned anew.
_KNOWN: Final = "prepared"
#: After so many uses a statement is planned again: its tables may have been empty when it was first.
_AGAIN: Final = frozenset({4**power for power in range(1, 16)})


class Prepared:
    """One statement, or several that travel together; only the last one's rows come back."""

    def __init__(self, *statements: str, **types: str) -> None:
        """
        Args:
            statements: SQL with ``:name`` where a value goes.
            types: PostgreSQL's type of each value.
        """
        self.sql: Final = statements
        self._plain: Final = text(";\n".join(statements))
        self._prepare: Final[dict[str, str]] = {}
        executed = []
        for sql in statements:
            names = list(dict.fromkeys(_PARAMETER.findall(sql)))
            listed = ", ".join(types[name] for name in names)
            places = {name: f"${place}" for place, name in enumerate(names, 1)}
            numbered = _PARAMETER.sub(partial(_place, places), sql)
            name = "ringpost_" + hashlib.sha256(f"{listed} {sql}".encode()).hexdigest()[:16]
            self._prepare[name] = f"PREPARE {name}{f' ({listed})' if names else ''} AS {numbered}"
            executed.append(f"EXECUTE {name}" + (f"({', '.join(f'%({one})s' for one in names)})" if names else ""))
        self._execute: Final = "; ".join(executed)

    def __call__(self, connection: Connection, **values: Any) -> list[Any]:
        """
        Carry it out with these values.

        Returns:
            The rows of the last statement as named tuples; none where it returns none.

        Raises:
            sqlalchemy.exc.DBAPIError: What PostgreSQL complained of, or that it is gone.
        """
        known: dict[str, int] | None = connection.info.setdefault(_KNOWN, {})
        if known is None:
            result = connection.execute(self._plain, values)
            return list(result.all()) if result.returns_rows else []
        try:
            with _cursor(connection) as cursor:
                self._prepare_on(cursor, known)
                cursor.execute(self._execute, values)
                return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error as error:
            raise as_sqlalchemy(connection, error) from error
        except BaseException:
            connection.invalidate()  # broken off halfway: what it would answer next is not known
            raise

    def _prepare_on(self, cursor: Any, known: dict[str, int]) -> None:
        for name, sql in self._prepare.items():
            uses = known.pop(name, 0)  # a failure between here and the end leaves it to be prepared again
            if not uses:
                cursor.execute(sql)
            elif uses in _AGAIN:
                cursor.execute(f"DEALLOCATE {name}; {sql}")
            known[name] = uses + 1


def _cursor(connection: Connection) -> Any:
    session: Any = connection.connection.dbapi_connection
    return session.cursor(cursor_factory=NamedTupleCursor)


def _place(places: dict[str, str], found: re.Match[str]) -> str:
    return places[found[1]]


def plan_each_time(connection: Connection) -> None:
    """Prepare nothing on this connection: a pooler hands its statements to whichever server connection is free."""
    connection.info[_KNOWN] = None
