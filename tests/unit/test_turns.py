"""Who is let in, who waits and who is refused: fairly by sender, by time, and with a bound on everything."""

import pytest

from ingress import turns
from ingress.turns import MAX_HELD, SLOTS, SLOTS_IN_FLOOD, Turns

GOOD = 0.25  # s


class Clock:
    """A time that moves when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Crowd:
    """Requests that wait for their turns, and who was called in which order."""

    def __init__(self, line):
        self.line, self.called = line, []

    def wait(self, sender, work=1):
        """One more that waits."""
        turn = self.line.enter(sender, work, good_time_s=GOOD)
        assert turn.is_waiting
        turn.call = lambda: self.called.append(sender)
        return turn


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def line(clock):
    return Turns(clock)


@pytest.fixture
def crowd(line):
    return Crowd(line)


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

    was_waiting = waiting.is_waiting
    line.leave(taken[0])

    assert (was_waiting, waiting.is_waiting, crowd.called) == (True, False, ["bank"])


def test_leaving_twice_frees_one_place(line):
    taken = fill(line)

    line.leave(taken[0])
    line.leave(taken[0])

    assert (line.held, line._taken) == (SLOTS - 1, SLOTS - 1)


def test_who_sends_little_passes_before_who_sends_much(line, crowd):
    taken = fill(line)
    flood = [crowd.wait("bank") for _ in range(5)]
    lone = crowd.wait("shop")

    for turn in taken[:2]:
        line.leave(turn)

    assert crowd.called == ["bank", "shop"]
    for turn in taken[2:6]:
        line.leave(turn)
    assert not any(one.is_waiting for one in [*flood, lone])


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


def test_no_more_are_held_than_may_be(line, crowd, monkeypatch):
    monkeypatch.setattr(turns, "_FEW", 10**9)
    taken = fill(line)
    waiting = [crowd.wait(f"sender {n}") for n in range(MAX_HELD - SLOTS)]

    assert line.enter("another", 1, good_time_s=10**9) is None
    assert len(line._lines) == len(line._order) == MAX_HELD - SLOTS
    _empty(line, taken, waiting)
    assert line._lines == {}


def test_who_gives_up_leaves_nothing_behind(line, crowd):
    taken = fill(line)
    waiting = crowd.wait("bank")

    line.give_up("bank", waiting)

    assert (line.held, line._waiting, line._lines, list(line._order)) == (SLOTS, 0, {}, [])
    line.leave(taken[0])
    assert (crowd.called, line.enter("bank", 1, good_time_s=GOOD).is_waiting) == ([], False)


def test_a_batch_that_gives_up_no_longer_stands_in_the_way(line, crowd):
    taken = fill(line)
    batch = crowd.wait("bank", 100)
    call = crowd.wait("shop")
    line.leave(taken[0])
    before = list(crowd.called)

    line.give_up("bank", batch)

    assert (before, crowd.called, call.is_waiting) == ([], ["shop"], False)


def test_whether_there_is_a_place_is_said_without_taking_it(line, crowd, monkeypatch):
    monkeypatch.setattr(turns, "_FEW", 0)
    first = line.has_place("bank", 1, good_time_s=GOOD)
    fill(line)
    line._rate = line._measured_at = 0.0
    crowd_before = line.held

    assert (first, line.has_place("bank", 450, good_time_s=GOOD)) == (True, True)
    crowd.wait("shop")
    assert not line.has_place("bank", 450, good_time_s=GOOD)
    assert line.held == crowd_before + 1


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
    still = not waiting.is_waiting
    line.leave(taken.pop())
    taken.append(waiting)
    clock.now += turns._FLOOD_S + 0.1
    line.leave(taken.pop())

    assert (still, line._slots) == (False, SLOTS)


def test_batches_take_several_slots_but_never_all(line):
    batches = [line.enter("bank", 450, good_time_s=GOOD) for _ in range(SLOTS // turns._BATCH_SLOTS)]

    assert None not in batches
    assert line.enter("shop", 1, good_time_s=GOOD) is not None


def test_a_thousand_come_and_go_and_nothing_is_left_behind(line):
    inside, most = [], 0
    turns_ = [line.enter(f"sender {number % 7}", 1, good_time_s=10**9) for number in range(MAX_HELD)]

    for turn in turns_:
        turn.call = lambda turn=turn: inside.append(turn)
    inside = [turn for turn in turns_ if not turn.is_waiting]
    while inside:
        most = max(most, len(inside))
        line.leave(inside.pop(0))

    assert most == SLOTS
    assert all(turn.is_over for turn in turns_)
    assert (line.held, line._taken, line._waiting) == (0, 0, 0)
    assert (line._lines, list(line._order)) == ({}, [])


def _ahead_of_good_time(line, crowd, waiting):
    """One more that waits if the line still lets it; None when it says no."""
    if line._ahead("bank", 1) > line.rate * GOOD:
        assert line.enter("bank", 1, good_time_s=GOOD) is None
        return None
    return crowd.wait("bank")


def _empty(line, taken, waiting):
    """Let everybody leave, those who wait after they were called."""
    line._slots = SLOTS
    for turn in taken:
        line.leave(turn)
    for one in waiting:
        line.leave(one)
    assert line.held == 0
