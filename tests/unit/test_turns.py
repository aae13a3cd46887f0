"""Who is let in, who waits and who is refused: fairly by sender, by time, and with a bound on everything."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingress import turns
from ingress.turns import MAX_HELD, SLOTS, SLOTS_IN_FLOOD, Turns

PATIENCE = 10  # s, never used up
GOOD = 0.25  # s


class Clock:
    """A time that moves when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Crowd:
    """Threads that wait for their turns; what they got, in order."""

    def __init__(self, line, threads):
        self.line, self.threads, self.came = line, threads, []

    def wait(self, sender, work=1):
        """One more that waits, seen to do so."""
        held = self.line.held

        def come():
            turn = self.line.enter(sender, work, good_time_s=GOOD)
            self.came.append((sender, turn))
            return turn

        future = self.threads.submit(come)
        until(lambda: self.line.held == held + 1)
        return future


def until(holds):
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.001)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def line(clock):
    return Turns(clock)


@pytest.fixture
def crowd(line):
    with ThreadPoolExecutor(MAX_HELD) as threads:
        yield Crowd(line, threads)


def fill(line, sender="bank"):
    """Take every slot."""
    return [line.enter(sender, 1, good_time_s=GOOD) for _ in range(SLOTS)]


def test_while_there_is_room_everybody_is_let_in_at_once(line):
    taken = fill(line)

    assert None not in taken
    for turn in taken:
        line.leave(turn)
    assert line.held == 0


def test_who_finds_no_room_waits_for_who_leaves(line, crowd):
    taken = fill(line)
    waiting = crowd.wait("bank")

    assert not waiting.done()
    line.leave(taken[0])

    assert waiting.result(PATIENCE) is not None


def test_leaving_twice_frees_one_place(line):
    taken = fill(line)

    line.leave(taken[0])
    line.leave(taken[0])

    assert (line.held, line._taken) == (SLOTS - 1, SLOTS - 1)


def test_who_sends_little_passes_before_who_sends_much(line, crowd):
    taken = fill(line)
    flood = [crowd.wait("bank") for _ in range(5)]
    lone = crowd.wait("shop")

    for done, turn in enumerate(taken[:2], 1):
        line.leave(turn)
        until(lambda done=done: len(crowd.came) == done)

    assert [sender for sender, _ in crowd.came] == ["bank", "shop"]
    for turn in taken[2:6]:
        line.leave(turn)
    assert all(one.result(PATIENCE) for one in [*flood, lone])


def test_what_would_wait_too_long_is_refused_at_once(line, crowd, monkeypatch):
    monkeypatch.setattr(turns, "_FEW", 0)
    taken = fill(line)
    waiting = []
    while (turn := _ahead_of_good_time(line, crowd, waiting)) is not None:
        waiting.append(turn)

    assert len(taken) + len(waiting) == turns._USUAL_RATE * GOOD
    _empty(line, taken, waiting)


def test_a_flood_of_one_sender_leaves_room_for_another(line, crowd, monkeypatch):
    monkeypatch.setattr(turns, "_FEW", 0)
    taken = fill(line)
    waiting = []
    while (turn := _ahead_of_good_time(line, crowd, waiting)) is not None:
        waiting.append(turn)

    waiting.append(crowd.wait("shop"))

    assert line.enter("bank", 1, good_time_s=GOOD) is None
    _empty(line, taken, waiting)


def test_a_few_hundred_steady_requests_are_no_flood_however_slow(line, crowd, clock):
    taken = fill(line)
    waiting = [crowd.wait("bank")]
    clock.now += 60
    line.leave(taken.pop())

    while len(taken) + len(waiting) < turns._FEW:
        waiting.append(crowd.wait("bank"))

    assert line.rate < turns._FEW / GOOD
    _empty(line, taken, waiting)


def test_no_more_are_held_than_there_are_threads_for(line, crowd, monkeypatch):
    monkeypatch.setattr(turns, "_FEW", 10**9)
    taken = fill(line)
    waiting = [crowd.wait(f"sender {n}") for n in range(MAX_HELD - SLOTS)]

    assert line.enter("another", 1, good_time_s=10**9) is None
    assert len(line._lines) == len(line._order) == MAX_HELD - SLOTS
    _empty(line, taken, waiting)
    assert line._lines == {}


def test_nobody_waits_longer_than_patience_has(line, monkeypatch):
    monkeypatch.setattr(turns, "_PATIENCE_S", 0.01)
    taken = fill(line)

    assert line.enter("bank", 1, good_time_s=GOOD) is None
    assert (line.held, line._lines, list(line._order)) == (SLOTS, {}, [])
    line.leave(taken[0])
    assert line.enter("bank", 1, good_time_s=GOOD) is not None


def test_the_rate_is_what_was_answered_while_somebody_waited(line, crowd, clock):
    taken = fill(line)
    waiting = [crowd.wait("bank") for _ in range(60)]
    clock.now += 0.02
    line.leave(taken.pop())
    before = line.rate

    for _ in range(59):
        clock.now += 0.002
        line.leave(taken.pop())
    waiting_rate = line.rate
    _empty(line, taken, waiting)

    assert before == turns._USUAL_RATE
    assert turns._USUAL_RATE / 2 < waiting_rate < turns._USUAL_RATE


def test_a_slow_moment_long_ago_does_not_count(line, clock):
    line._rate, line._measured_at = 60.0, clock.now

    slow = line._current_rate()
    clock.now += turns._MEMORY_S + 1

    assert (slow, line._current_rate()) == (60.0, turns._USUAL_RATE)


def test_in_a_flood_fewer_are_at_work_until_it_is_over(line, crowd, clock, monkeypatch):
    monkeypatch.setattr(turns, "_FEW", 0)
    taken = fill(line)
    assert line.enter("bank", 1000, good_time_s=GOOD) is None
    waiting = crowd.wait("bank")

    for _ in range(SLOTS - SLOTS_IN_FLOOD):
        line.leave(taken.pop())
    still = waiting.done()
    line.leave(taken.pop())
    taken.append(waiting.result(PATIENCE))
    clock.now += turns._FLOOD_S + 0.1
    line.leave(taken.pop())

    assert (still, line._slots) == (False, SLOTS)


def test_batches_take_several_slots_but_never_all(line):
    batches = [line.enter("bank", 450, good_time_s=GOOD) for _ in range(SLOTS // turns._BATCH_SLOTS)]

    assert None not in batches
    assert line.enter("shop", 1, good_time_s=GOOD) is not None


def test_many_threads_come_and_go_and_nothing_is_left_behind(line):
    most, lock, inside = [0], threading.Lock(), [0]

    def visit(number):
        turn = line.enter(f"sender {number % 7}", 1, good_time_s=10**9)
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.0005)
        with lock:
            inside[0] -= 1
        line.leave(turn)

    with ThreadPoolExecutor(200) as threads:
        list(threads.map(visit, range(1000)))

    assert most[0] <= SLOTS
    assert (line.held, line._taken, line._waiting) == (0, 0, 0)
    assert (line._lines, list(line._order)) == ({}, [])


def _ahead_of_good_time(line, crowd, waiting):
    """One more that waits if the line still lets it; None when it says no."""
    if line._ahead("bank", 1) > line.rate * GOOD:
        assert line.enter("bank", 1, good_time_s=GOOD) is None
        return None
    return crowd.wait("bank")


def _empty(line, taken, waiting):
    """Let everybody leave, those who wait after they came in."""
    line._slots = SLOTS
    for turn in taken:
        line.leave(turn)
    for one in waiting:
        line.leave(one.result(PATIENCE))
    assert line.held == 0
