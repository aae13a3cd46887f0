"""Group commit: batches that form by themselves, and waiters that never hang."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.db.database import DatabaseAway
from shared.db.group_commit import Bounds, GroupCommitter, Overloaded

PATIENCE = 10  # s, never used up


class Gate:
    """A write that waits until it is let through, and remembers what it was given."""

    def __init__(self):
        self.batches, self.entered, self.open = [], threading.Event(), threading.Event()

    def __call__(self, rows, patience_s):
        self.batches.append(list(rows))
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return [row * 10 for row in rows]


@pytest.fixture
def commit():
    """Make committers that are closed at the end."""
    made = []

    def make(write, **options):
        made.append(GroupCommitter("test", write, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def tenfold(rows, patience_s):
    return [row * 10 for row in rows]


def failing_on(bad, error):
    """A write that fails whenever *bad* is among its rows."""

    def write(rows, patience_s):
        if bad in rows:
            raise error
        return tenfold(rows, patience_s)

    return write


def test_each_row_gets_its_own_result_in_order(commit):
    committer = commit(tenfold)

    assert committer.put([1, 2, 3], PATIENCE) == [10, 20, 30]
    assert committer.put([], PATIENCE) == []


def test_while_one_write_runs_the_next_batch_forms(commit):
    gate = Gate()
    committer = commit(gate)
    first = committer.submit([1])
    gate.entered.wait(PATIENCE)
    others = [ticket for row in (2, 3, 4) for ticket in committer.submit([row])]

    gate.open.set()

    assert [ticket.wait(PATIENCE) for ticket in first + others] == [10, 20, 30, 40]
    assert gate.batches == [[1], [2, 3, 4]]


def test_a_batch_has_its_limit(commit):
    gate = Gate()
    committer = commit(gate, bounds=Bounds(batch=2))
    first = committer.submit([1])
    gate.entered.wait(PATIENCE)
    others = committer.submit([2, 3, 4])

    gate.open.set()

    assert [ticket.wait(PATIENCE) for ticket in first + others] == [10, 20, 30, 40]
    assert gate.batches == [[1], [2, 3], [4]]


def test_many_threads_each_get_their_own_result(commit):
    committer = commit(tenfold)

    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda row: committer.put([row], PATIENCE), range(500)))

    assert results == [[row * 10] for row in range(500)]


def test_a_row_that_cannot_be_written_fails_alone(commit):
    committer = commit(failing_on(2, ValueError("no")))
    good, bad, other = committer.submit([1, 2, 3])

    assert (good.wait(PATIENCE), other.wait(PATIENCE)) == (10, 30)
    with pytest.raises(ValueError, match="no"):
        bad.wait(PATIENCE)


def test_an_absent_database_fails_everyone_at_once_and_then_refuses_for_a_moment(commit):
    tries = []

    def write(rows, patience_s):
        tries.append(list(rows))
        raise DatabaseAway("gone")

    committer = commit(write, bounds=Bounds(pause_s=60))
    tickets = committer.submit([1, 2, 3])

    for ticket in tickets:
        with pytest.raises(DatabaseAway):
            ticket.wait(PATIENCE)
    with pytest.raises(DatabaseAway):
        committer.submit([4])
    assert tries == [[1, 2, 3]]


def test_a_database_that_leaves_while_rows_are_tried_singly_is_tried_once(commit):
    tries = []

    def write(rows, patience_s):
        tries.append(list(rows))
        raise ValueError("no") if len(tries) < 3 else DatabaseAway("gone")

    committer = commit(write, bounds=Bounds(pause_s=60))

    tickets = committer.submit([1, 2, 3, 4])

    for ticket, error in zip(tickets, [ValueError, DatabaseAway, DatabaseAway, DatabaseAway], strict=True):
        with pytest.raises(error):
            ticket.wait(PATIENCE)
    assert tries == [[1, 2, 3, 4], [1], [2]]


def test_after_the_moment_the_database_is_asked_again(commit):
    answers = iter([DatabaseAway("gone"), None])

    def write(rows, patience_s):
        if error := next(answers):
            raise error
        return tenfold(rows, patience_s)

    committer = commit(write, bounds=Bounds(pause_s=0))
    with pytest.raises(DatabaseAway):
        committer.put([1], PATIENCE)

    assert committer.put([1], PATIENCE) == [10]


def test_more_rows_than_may_wait_are_refused_and_not_stored(commit):
    gate = Gate()
    committer = commit(gate, bounds=Bounds(waiting=3))
    first = committer.submit([1])
    gate.entered.wait(PATIENCE)
    waiting = committer.submit([2, 3])

    with pytest.raises(Overloaded):
        committer.submit([4, 5])
    gate.open.set()

    assert [ticket.wait(PATIENCE) for ticket in first + waiting] == [10, 20, 30]
    assert gate.batches == [[1], [2, 3]]


def test_a_waiter_is_let_go_while_the_write_blocks(commit):
    gate = Gate()
    committer = commit(gate)
    started = time.monotonic()

    with pytest.raises(DatabaseAway):
        committer.put([1, 2, 3], 0.05)

    assert time.monotonic() - started < 1
    gate.open.set()


def test_what_nobody_waits_for_any_more_is_not_written(commit):
    gate = Gate()
    committer = commit(gate)
    first = committer.submit([1])
    gate.entered.wait(PATIENCE)
    with pytest.raises(DatabaseAway):
        committer.put([2, 3], 0)

    gate.open.set()

    assert first[0].wait(PATIENCE) == 10
    assert committer.put([4], PATIENCE) == [40]
    assert gate.batches == [[1], [4]]


def test_closing_writes_what_waits_and_then_refuses(commit):
    gate = Gate()
    committer = commit(gate)
    tickets = committer.submit([1])
    gate.entered.wait(PATIENCE)
    tickets += committer.submit([2, 3])
    gate.open.set()

    committer.close()

    assert [ticket.wait(0) for ticket in tickets] == [10, 20, 30]
    with pytest.raises(DatabaseAway):
        committer.submit([4])


def test_what_follows_a_commit_is_told_once_a_batch(commit):
    told = []
    committer = commit(tenfold, after=told.append)

    committer.put([1, 2], PATIENCE)
    committer.close()

    assert told == [[10, 20]]


def test_a_failure_after_the_commit_neither_fails_the_rows_nor_ends_the_thread(commit):
    def after(results):
        raise RuntimeError("no bell")

    committer = commit(tenfold, after=after)

    assert [committer.put([row], PATIENCE) for row in range(5)] == [[row * 10] for row in range(5)]


def test_a_write_that_answers_too_little_fails_only_the_unanswered(commit):
    committer = commit(lambda rows, _: [10])
    first, second = committer.submit([1, 2])

    assert first.wait(PATIENCE) == 10
    with pytest.raises(ValueError, match="shorter"):
        second.wait(PATIENCE)


def test_even_an_exit_in_the_write_leaves_the_thread_alive(commit):
    committer = commit(failing_on(1, SystemExit()))

    with pytest.raises(SystemExit):
        committer.put([1], PATIENCE)

    assert committer.put([2], PATIENCE) == [20]
