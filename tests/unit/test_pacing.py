"""The pace adapts to a trunk and to a rate that nobody tells, and stays close below them."""

import heapq
import itertools
import random

import pytest

from shared import pacing


def settle_on_trunk(trunk, *, seconds=7200, call_s=25.0, report_s=1.5, seed=1):
    """
    An endless queue against a trunk of so many lines: the share refused, and how busy the lines were, once settled.

    A refused dial is reported as late as an ended call is, and whoever claims knows no more than what is reported.
    """
    luck = random.Random(seed)
    events, order = [(0.0, 0, "look", 0.0)], itertools.count(1)
    bears, refused_at, cut_at = 500.0, 500.0, -1.0
    flying = up = dials = refusals = 0
    busy, before = 0.0, 0.0

    def later(at, what, dialled_at=0.0):
        heapq.heappush(events, (at, next(order), what, dialled_at))

    while events[0][0] < seconds:
        now, _, what, dialled_at = heapq.heappop(events)
        settled = now > seconds / 4
        busy += up * (now - before) * settled
        before = now
        if what == "dial" and up < trunk:
            up += 1
            later(now + call_s * luck.uniform(0.6, 1.4), "end")
        elif what == "dial":
            refusals += settled
            later(now + report_s, "refused", dialled_at)
        elif what == "end":
            up -= 1
            later(now + report_s, "free")
        else:
            flying -= what != "look"
        if what == "refused":
            cut = pacing.cut_lines(bears, in_flight=flying, refused=1, is_new=dialled_at > cut_at, is_fresh=True)
            if cut is not None:
                bears, refused_at, cut_at = cut.bears, cut.refused, now
        if what in ("look", "free", "refused"):
            taken = max(0, min(int(bears) - flying, 10))
            flying += taken
            dials += taken * settled
            for _ in range(taken):
                later(now + 0.3, "dial", now)
            if taken and flying >= int(bears):
                quiet_s = now - cut_at if cut_at >= 0 else 0.0
                bears = min(500.0, pacing.grown_lines(bears, refused_at, quiet_s=quiet_s, dials=taken))
            if int(bears) > flying:
                later(now + 0.2, "look")
    return refusals / dials, busy / (seconds * 3 / 4) / trunk


@pytest.mark.parametrize("trunk", [10, 20, 50, 200])
def test_a_trunk_is_kept_busy_and_hardly_ever_refuses(trunk):
    refused, busy = settle_on_trunk(trunk)

    assert refused < 0.01
    assert busy > 0.9


@pytest.mark.parametrize(("lines", "left"), [(10, 9), (100, 99), (300, 297)])
def test_a_refusal_takes_a_line_or_a_hundredth_and_is_remembered(lines, left):
    cut = pacing.cut_lines(lines, in_flight=lines, refused=1, is_new=True, is_fresh=True)

    assert (cut.bears, cut.refused) == (left, lines)


def test_a_burst_far_beyond_the_trunk_falls_by_halves_to_what_is_up():
    first = pacing.cut_lines(500, in_flight=180, refused=20, is_new=True, is_fresh=True)
    second = pacing.cut_lines(first.bears, in_flight=50, refused=130, is_new=False, is_fresh=True)
    third = pacing.cut_lines(second.bears, in_flight=70, refused=2, is_new=False, is_fresh=True)

    assert (first.bears, second.bears, third.bears) == (250, 125, 70)


def test_calls_dialled_before_the_last_cut_do_not_cut_again():
    assert pacing.cut_lines(95, in_flight=98, refused=3, is_new=False, is_fresh=True) is None
    assert pacing.cut_lines(95, in_flight=2, refused=3, is_new=False, is_fresh=False) is None


def test_an_old_report_says_nothing_of_the_calls_up_now():
    assert pacing.cut_lines(100, in_flight=2, refused=1, is_new=True, is_fresh=False).bears == 99


def test_one_line_is_always_left():
    assert pacing.cut_lines(1, in_flight=0, refused=1, is_new=True, is_fresh=True).bears == 1


def test_lines_grow_quickly_up_to_near_what_was_refused_and_slowly_there():
    assert pacing.grown_lines(80, 100, quiet_s=0, dials=8) == 81
    assert pacing.grown_lines(96, 100, quiet_s=0, dials=64) == 97
    assert pacing.grown_lines(9, 10, quiet_s=0, dials=25) == 9.1
    assert pacing.grown_lines(99, 100, quiet_s=0, dials=50) == 99.2
    assert pacing.grown_lines(113, 100, quiet_s=0, dials=8) == 114


def test_quiet_minutes_speed_growth_up_to_a_quarter_of_a_line_a_dial():
    assert pacing.grown_lines(80, 100, quiet_s=60, dials=8) == 82
    assert pacing.grown_lines(99, 100, quiet_s=300, dials=25) == 99.2
    assert pacing.grown_lines(99, 100, quiet_s=86_400, dials=8) == 101


@pytest.mark.parametrize(
    ("quiet_s", "expected"), [(0, 40), (30, 48.75), (60, 50), (90, 51.25), (120, 60), (180, 100), (1e6, 100)]
)
def test_a_refused_pace_falls_by_a_fifth_and_heals(quiet_s, expected):
    assert pacing.dials_per_second(100, 50, quiet_s=quiet_s) == pytest.approx(expected)


def test_a_pace_is_never_above_the_setting_nor_stands_still():
    assert pacing.dials_per_second(50, None, quiet_s=0) == 50
    assert pacing.dials_per_second(50, 1e-6, quiet_s=0) == pacing.SLOWEST
    assert pacing.dials_per_second(0.1, 1e-6, quiet_s=0) == 0.1
