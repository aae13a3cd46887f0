"""The pace adapts to a trunk and to a rate that nobody tells, and stays close below them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import pacing
from tests.unit.trunk_model import Model

TRUNKS = (5, 20, 100, 500, 2000)
LENGTHS_S = (0.5, 1.0, 5.0, 60.0)


@pytest.mark.parametrize("call_s", LENGTHS_S)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_trunk_is_used_to_nine_tenths_and_hardly_ever_refuses(trunk, call_s):
    model = Model(trunk, call_s, spread=0.4)
    model.run(12 + 10 * call_s)

    carried, refused = model.run(model.rounds(5000))

    assert carried > 0.9
    assert refused < 0.01


@pytest.mark.parametrize("call_s", LENGTHS_S)
@pytest.mark.parametrize(("trunk", "becomes"), [(200, 100), (100, 200), (20, 10), (20, 40), (800, 400), (400, 800)])
def test_a_trunk_that_halves_or_doubles_is_followed(trunk, becomes, call_s):
    model = Model(trunk, call_s, spread=0.4)
    model.run(12 + 10 * call_s)
    model.trunk = becomes
    model.run(max(12 + 10 * call_s, model.rounds(2500)))

    carried, refused = model.run(model.rounds(5000))

    assert carried > 0.9
    assert refused < 0.01


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    trunk=st.integers(5, 600),
    call_s=st.floats(0.5, 60),
    spread=st.sampled_from((0.0, 0.1, 0.8)),
    most=st.sampled_from((700.0, 5000.0)),
    seed=st.integers(0, 99),
)
def test_any_trunk_is_used_to_nine_tenths(trunk, call_s, spread, most, seed):
    model = Model(trunk, call_s, spread=spread, most=most, seed=seed)
    model.run(12 + 10 * call_s)

    carried, refused = model.run(model.rounds(4000))

    assert carried > 0.9
    assert refused < 0.01


@pytest.mark.parametrize(("lines", "left"), [(10, 9), (100, 99), (300, 297)])
def test_a_refusal_takes_a_line_or_a_hundredth_and_is_remembered(lines, left):
    cut = pacing.cut_lines(lines, in_flight=lines, is_new=True, is_fresh=True)

    assert (cut.bears, cut.refused) == (left, lines)


def test_a_burst_far_beyond_the_trunk_falls_by_halves_to_what_is_up():
    first = pacing.cut_lines(500, in_flight=180, is_new=True, is_fresh=True)
    second = pacing.cut_lines(first.bears, in_flight=50, is_new=False, is_fresh=True)
    third = pacing.cut_lines(second.bears, in_flight=70, is_new=False, is_fresh=True)

    assert (first.bears, second.bears, third.bears) == (250, 125, 70)


def test_calls_dialled_before_the_last_cut_do_not_cut_again():
    assert pacing.cut_lines(95, in_flight=98, is_new=False, is_fresh=True) is None
    assert pacing.cut_lines(95, in_flight=2, is_new=False, is_fresh=False) is None


def test_an_old_report_says_nothing_of_the_calls_up_now():
    assert pacing.cut_lines(100, in_flight=2, is_new=True, is_fresh=False).bears == 99


def test_one_line_is_always_left():
    assert pacing.cut_lines(1, in_flight=0, is_new=True, is_fresh=True).bears == 1


def test_lines_grow_quickly_up_to_near_what_was_refused_and_slowly_there():
    assert pacing.grown_lines(80, 100, dials=8) == 84
    assert pacing.grown_lines(96, 100, dials=64) == 97
    assert pacing.grown_lines(9, 10, dials=25) == 9.1
    assert pacing.grown_lines(99, 100, dials=50) == 99.2
    assert pacing.grown_lines(2000, 2010, dials=50) == 2000.5


def test_growth_doubles_with_each_step_beyond_what_was_refused_up_to_an_eighth_of_a_line_a_dial():
    assert pacing.grown_lines(10, 9, dials=25) == 10.1
    assert pacing.grown_lines(12, 9, dials=25) == 12.4
    assert pacing.grown_lines(40, 9, dials=8) == 41


@pytest.mark.parametrize(
    ("quiet_s", "expected"), [(0, 40), (30, 48.75), (60, 50), (90, 51.25), (120, 60), (180, 100), (1e6, 100)]
)
def test_a_refused_pace_falls_by_a_fifth_and_heals(quiet_s, expected):
    assert pacing.dials_per_second(100, 50, quiet_s=quiet_s) == pytest.approx(expected)


def test_a_pace_is_never_above_the_setting_nor_stands_still():
    assert pacing.dials_per_second(50, None, quiet_s=0) == 50
    assert pacing.dials_per_second(50, 1e-6, quiet_s=0) == pacing.SLOWEST
    assert pacing.dials_per_second(0.1, 1e-6, quiet_s=0) == 0.1
