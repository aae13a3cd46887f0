"""
Statements that PostgreSQL plans once a connection instead of at each use.

Planning took longer than carrying out: 1.3 ms of a lone claim, and most of PostgreSQL's time in a burst. The plans are
generic, as the batch behind a JSON parameter is the same to the planner whatever it holds.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, text

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
            executed.append(f"EXECUTE {name}" + (f"({', '.join(f':{one}' for one in names)})" if names else ""))
        self._execute: Final = text("; ".join(executed))

    def __call__(self, connection: Connection, **values: Any) -> CursorResult[Any]:
        """Carry it out with these values."""
        known: dict[str, int] | None = connection.info.setdefault(_KNOWN, {})
        if known is None:
            return connection.execute(self._plain, values)
        for name, sql in self._prepare.items():
            uses = known.pop(name, 0)  # a failure between here and the end leaves it to be prepared again
            if not uses:
                connection.exec_driver_sql(sql)
            elif uses in _AGAIN:
                connection.exec_driver_sql(f"DEALLOCATE {name}; {sql}")
            known[name] = uses + 1
        return connection.execute(self._execute, values)


def _place(places: dict[str, str], found: re.Match[str]) -> str:
    return places[found[1]]


def plan_each_time(connection: Connection) -> None:
    """Prepare nothing on this connection: a pooler hands its statements to whichever server connection is free."""
    connection.info[_KNOWN] = None
