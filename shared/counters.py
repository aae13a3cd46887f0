"""
What processes count: added up in memory, and every few seconds added to what all of them counted, in PostgreSQL.

So a scrape that reaches one process of many, on one host of many, is told of all, and a restart takes nothing back.
While PostgreSQL is away the process goes on counting; killed, it takes what it counted in the last seconds along.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import structlog

from shared.db.queries import counters

if TYPE_CHECKING:
    from shared.db.database import Database

#: The upper bounds of a histogram's buckets, in seconds; one more holds what is longer. Other bounds need another name.
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
_EVERY_S: Final = 5.0

log = structlog.get_logger()


class Series:
    """What is counted under one name and one set of labels' values; for any thread."""

    __slots__ = ("_lock", "amounts", "stored")

    def __init__(self, amounts: int) -> None:
        self._lock = threading.Lock()
        self.amounts = [0.0] * amounts  # since the process began
        self.stored = self.amounts.copy()  # what of them is in PostgreSQL

    def add(self, by: float = 1) -> None:
        """Count *by* more."""
        with self._lock:
            self.amounts[0] += by

    def observe(self, seconds: float) -> None:
        """Count a duration: one more in its bucket, and its seconds at the end."""
        amounts, place = self.amounts, bisect_left(BUCKETS_S, seconds)
        with self._lock:
            amounts[place] += 1
            amounts[-1] += seconds


class Counters:
    """Of one process; for any thread. Each name's labels must be few: every series is a row that stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[counters.Key, Series] = {}
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, name: str, *labels: str) -> Series:
        """The counter of this name and these values of its labels; keep it where every microsecond counts."""
        return self._get((name, labels), 1)

    def durations(self, name: str, *labels: str) -> Series:
        """The same of a histogram."""
        return self._get((name, labels), len(BUCKETS_S) + 2)

    def _get(self, key: counters.Key, amounts: int) -> Series:
        with self._lock:
            found = self._series.get(key)
            if found is None:
                found = self._series[key] = Series(amounts)
            return found

    def fresh(self) -> dict[counters.Key, list[float]]:
        """What was counted and is not stored yet."""
        with self._lock:
            series = list(self._series.items())
        amounts = [
            (key, [now - then for now, then in zip(one.amounts, one.stored, strict=True)]) for key, one in series
        ]
        return {key: more for key, more in amounts if any(more)}

    def store(self, database: Database) -> None:
        """
        Add what is fresh to what all processes counted, in one statement.

        It is not repeated when its answer is lost, but stored next time: that once too often is a few seconds'.
        """
        fresh = self.fresh()
        if not fresh:
            return
        try:
            with database.statement() as connection:
                counters.add(connection, fresh)
        except Exception as error:  # noqa: BLE001  whatever it is, the work goes on
            log.info("counters_not_stored", error=type(error).__name__)
            return
        for key, more in fresh.items():
            one = self._series[key]
            one.stored = [then + added for then, added in zip(one.stored, more, strict=True)]

    def begin(self, database: Database) -> None:
        """Store what is counted, again and again, from a thread of its own."""
        self._thread = threading.Thread(target=self._keep_storing, args=(database,), name="counters", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Store what is left; nothing that is counted from now on is stored."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(_EVERY_S)

    def _keep_storing(self, database: Database) -> None:
        while not self._is_over.wait(_EVERY_S):
            self.store(database)
        self.store(database)
