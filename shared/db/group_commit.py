"""
Group commit: many requests hand in rows, one thread writes whatever has gathered as one statement.

While one commit runs the next batch forms by itself; under load the writer rests a little to let it grow. Nobody waits
for ever: each waiter has a bound, a full queue says so at once, and an absent database fails everyone at once instead
of one by one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

import structlog

from shared.db.database import DatabaseAway, is_away
from shared.rest import Rest
from shared.strand import Latch

Row = TypeVar("Row")
Result = TypeVar("Result")

_UNSET: Final = object()
#: Rows handed in together that are a batch worth writing by themselves.
_MANY: Final = 20

log = structlog.get_logger()


class Overloaded(Exception):
    """More rows wait than may: nothing was stored, and coming again a little later is the right answer."""


class Ticket(Generic[Result]):
    """A place in the next batch."""

    __slots__ = ("_error", "_latch", "_result", "given_up")

    def __init__(self) -> None:
        self._latch: Latch | None = None  # made by whoever waits before the answer is here: most of a batch never do
        self._result: object = _UNSET
        self._error: BaseException | None = None
        self.given_up = False

    def settle(self, result: Result) -> None:
        """The row is committed."""
        self._result = result
        self._tell()

    def fail(self, error: BaseException) -> None:
        """The row could not be written, or it is not known whether it was. Changes nothing once that was told."""
        if self._result is _UNSET and self._error is None:
            self._error = error
            self._tell()

    def wait(self, timeout_s: float, *, withdraw: bool = True) -> Result:
        """
        What the write gave for this row.

        Args:
            timeout_s: Longest wait, in seconds.
            withdraw: After it, a row that is not written yet never will be; otherwise it goes its way unwatched.

        Raises:
            DatabaseAway: PostgreSQL is away, or did not answer within *timeout_s* seconds.
        """
        if not self._is_answered():
            latch = self._latch = Latch()
            # Once more: the answer may have come before there was a latch to set.
            if not self._is_answered() and not latch.wait(timeout_s) and not self._is_answered():
                self.given_up = withdraw
                raise DatabaseAway("no answer in time")
        if self._error is not None:
            raise self._error
        return cast("Result", self._result)

    def _is_answered(self) -> bool:
        return self._result is not _UNSET or self._error is not None

    def _tell(self) -> None:
        if self._latch is not None:
            self._latch.set()


def results(tickets: Sequence[Ticket[Result]], timeout_s: float) -> list[Result]:
    """
    What became of rows that were handed in together, in order.

    Raises:
        DatabaseAway: Not stored, or not known to be stored, within *timeout_s* seconds.
    """
    deadline = time.monotonic() + timeout_s
    try:
        return [ticket.wait(deadline - time.monotonic()) for ticket in tickets]
    finally:
        for ticket in tickets:
            ticket.given_up = True  # whoever asked is answered: what is not taken yet need not be written


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may gather and how long a write may take to succeed."""

    batch: int = 500  # rows in one statement
    waiting: int = 2000  # rows not yet taken by the writer; more are refused
    patience_s: float = 0.5  # how long one batch is tried while PostgreSQL is away
    pause_s: float = 0.25  # after a failed batch, refuse at once for this long
    rest_row_s: float = 0.0  # see ``shared.rest``: rest for each row of the last batch, 0 for none
    rest_s: float = 0.0  # the longest rest
    is_awaited: bool = True  # whoever hands rows in waits for them, so that a rest may end when as many are back


class GroupCommitter(Generic[Row, Result]):
    """One writer thread for one kind of row. The same class serves requests, webhooks and workers' results."""

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Row], float], Sequence[Result]],
        *,
        after: Callable[[Sequence[Result]], None] = lambda _results: None,
        bounds: Bounds = Bounds(),
        ids_of: Callable[[Row], Mapping[str, str | None]] = lambda _row: {},
    ) -> None:
        """
        Args:
            name: Of the thread, for logs and dumps.
            write: Stores the rows, trying for so many seconds while PostgreSQL is away, and gives one result a row,
                in order. Must be safe to repeat.
            after: Called once a batch after its commit, from the writer thread; quick, and without raising.
            bounds: Sizes and patience.
            ids_of: What a row is called in logs.
        """
        self._name = name
        self._write = write
        self._after = after
        self._bounds = bounds
        self._ids_of = ids_of
        self._waiting: deque[tuple[Row, Ticket[Result]]] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._closing = False
        self._away_until = 0.0
        self._rest = Rest(bounds.rest_row_s, bounds.rest_s, bounds.batch)
        self._enough = 1  # rows that the writer waits for
        self._gathered = False  # somebody handed in a batch of his own: nothing more need be waited for
        self._thread = threading.Thread(target=self._run, name=f"group-commit-{name}", daemon=True)
        self._thread.start()

    def submit(self, rows: Sequence[Row]) -> list[Ticket[Result]]:
        """
        Hand rows in and wait for nothing.

        Raises:
            Overloaded: Too many rows wait already.
            DatabaseAway: PostgreSQL just failed a batch.
        """
        tickets: list[Ticket[Result]] = [Ticket() for _ in rows]
        with self._changed:
            if len(self._waiting) + len(rows) > self._bounds.waiting:
                raise Overloaded(self._name)
            if time.monotonic() < self._away_until or self._closing:
                raise DatabaseAway(self._name)
            self._waiting.extend(zip(rows, tickets, strict=True))
            self._gathered |= len(rows) >= _MANY
            if self._has_enough():  # a writer woken for each row would write none of them sooner
                self._changed.notify()
        return tickets

    def put(self, rows: Sequence[Row], timeout_s: float) -> list[Result]:
        """
        Store rows and say what became of each, in order.

        Raises:
            Overloaded: Too many rows wait already; nothing was stored.
            DatabaseAway: Not stored, or not known to be stored, within *timeout_s* seconds.
        """
        return results(self.submit(rows), timeout_s)

    @property
    def backlog(self) -> int:
        """Rows not yet taken by the writer."""
        return len(self._waiting)

    def close(self, timeout_s: float = 10) -> None:
        """Write what waits, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while batch := self._take():
            started_at = time.monotonic()
            try:
                self._store(batch)
            except BaseException as error:  # the thread must outlive anything, and no waiter may hang
                rows = [dict(self._ids_of(row)) for row, _ in batch]
                log.exception("group_commit_failed", committer=self._name, rows=rows)
                for _, ticket in batch:
                    ticket.fail(error)
            self._rest.after(len(batch), started_at)

    def _take(self) -> list[tuple[Row, Ticket[Result]]]:
        """The next batch; empty when closing and nothing is left."""
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if rest_s := self._rest.left_s():
                    # Those who were answered last may come again; when as many are here, no more need be expected.
                    self._enough = self._rest.rows if self._bounds.is_awaited else self._bounds.batch
                    self._changed.wait_for(self._has_enough, rest_s)
                    self._enough = 1
                size = min(len(self._waiting), self._bounds.batch)
                batch = [self._waiting.popleft() for _ in range(size)]
                self._gathered = False
                if not batch:
                    return []
            wanted = [entry for entry in batch if not entry[1].given_up]
            if wanted:
                return wanted

    def _has_enough(self) -> bool:
        return len(self._waiting) >= self._enough or self._gathered or self._closing

    def _store(self, batch: list[tuple[Row, Ticket[Result]]]) -> None:
        try:
            results = self._write([row for row, _ in batch], self._bounds.patience_s)
        except Exception as error:  # noqa: BLE001  it is told to whoever waits
            self._apologise(batch, error)
            return
        try:
            self._after(results)  # first, as those who wake up have long answers to write
        except Exception:  # what is stored is stored
            log.exception("after_commit_failed", committer=self._name)
        for (_, ticket), result in zip(batch, results, strict=True):
            ticket.settle(result)

    def _apologise(self, batch: list[tuple[Row, Ticket[Result]]], error: Exception) -> None:
        if is_away(error):
            self._away_until = time.monotonic() + self._bounds.pause_s
            log.warning("database_away", committer=self._name, rows=len(batch))
            for _, ticket in batch:
                ticket.fail(DatabaseAway(type(error).__name__))
        elif len(batch) == 1:
            log.error("row_not_written", committer=self._name, **self._ids_of(batch[0][0]), exc_info=error)
            batch[0][1].fail(error)
        else:
            self._store_singly(batch)

    def _store_singly(self, batch: list[tuple[Row, Ticket[Result]]]) -> None:
        """One bad row must not spoil its neighbours; an absent database is tried once, not once a row."""
        for place, entry in enumerate(batch):
            self._store([entry])
            if time.monotonic() < self._away_until:
                for _, ticket in batch[place + 1 :]:
                    ticket.fail(DatabaseAway(self._name))
                return
