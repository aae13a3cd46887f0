"""Goals and verdicts."""

import pytest

from deploy.bench.goals import GOALS, judge
from deploy.bench.programme import MEASUREMENTS, Measurement, chosen, run
from deploy.bench.result import Figure, Measured, by_key


def a_figure(key, value):
    return {key: Figure(key, "what it is", value, "ms")}


def verdict_on(key, value):
    (found,) = [verdict for verdict in judge(a_figure(key, value)) if verdict.goal.key == key]
    return found.is_met


@pytest.mark.parametrize(("value", "met"), [(6.0, True), (5.9, False)])
def test_a_ratio_must_be_reached(value, met):
    assert verdict_on("burst.times", value) is met


@pytest.mark.parametrize(("value", "met"), [(12.0, True), (12.1, False), (float("inf"), False)])
def test_a_latency_must_not_be_exceeded(value, met):
    assert verdict_on("latency.ours_accept_to_dial_p99", value) is met


def test_what_could_not_be_measured_is_neither_met_nor_missed():
    assert verdict_on("overload.refusal_p99", None) is None


def test_what_was_left_out_is_neither_met_nor_missed():
    assert all(verdict.is_met is None for verdict in judge({}))


def test_no_two_goals_bound_the_same_figure():
    keys = [goal.key for goal in GOALS]

    assert sorted(set(keys)) == sorted(keys)


def test_every_goal_belongs_to_a_measurement():
    names = {one.name for one in MEASUREMENTS}

    assert {goal.key.partition(".")[0] for goal in GOALS} <= names


def test_a_quick_run_leaves_the_long_measurements_out():
    quick = [one.name for one in chosen([], quick=True)]

    assert quick == ["burst", "latency", "idle", "accept", "drain"]


def test_a_named_measurement_is_the_only_one():
    assert [one.name for one in chosen(["growth"], quick=True)] == ["growth"]


def test_figures_are_found_by_measurement_and_name():
    measured = Measured("burst", "A burst")
    measured.add("ours", "Ringpost", 1200.0, "/s")

    assert by_key([measured])["burst.ours"].value == 1200.0


def test_a_measurement_that_fails_says_so_and_the_rest_go_on():
    def broken(_scene):
        raise RuntimeError("the disk is full")

    results = run(
        [Measurement("burst", broken), Measurement("drain", lambda _: Measured("drain", "A drain"))], None, id
    )

    assert "the disk is full" in results[0].notes[0]
    assert results[1].title == "A drain"
