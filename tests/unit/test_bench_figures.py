"""What the benchmark makes of many values."""

import math

import pytest

from deploy.bench.figures import curve, median, per_second, percentile, ratio, spread


def test_a_percentile_is_one_of_the_values():
    assert percentile([1, 2, 3, 4], 0.5) == 3
    assert percentile([1, 2, 3, 4], 0.99) == 4
    assert percentile([7], 0.5) == 7


def test_a_spread_tells_count_percentiles_and_maximum():
    found = spread(range(100, 0, -1))

    assert (found.count, found.p50, found.p90, found.p99, found.max) == (100, 51, 91, 100, 100)


def test_nothing_measured_has_no_spread():
    assert spread([]) is None


def test_a_median_leaves_out_what_is_not_known():
    assert median([None, 3.0, 1.0, 2.0]) == 2.0
    assert median([None]) is None


@pytest.mark.parametrize(("value", "base"), [(None, 1.0), (1.0, None), (1.0, 0.0)])
def test_there_is_no_ratio_to_nothing(value, base):
    assert ratio(value, base) is None


def test_a_rate_counts_from_the_given_moment():
    assert per_second([11.0, 12.0], since=10.0) == 1.0


def test_without_a_beginning_the_first_event_starts_the_clock():
    assert per_second([10.0, 10.5, 11.0]) == 2.0


@pytest.mark.parametrize("moments", [[], [1.0], [1.0, 1.0]])
def test_too_few_events_have_no_rate(moments):
    assert per_second(moments) is None


def test_a_curve_ends_with_the_last_event_and_has_few_points():
    points = curve(range(1000))

    assert points[0] == (0, 1)
    assert points[-1] == (999, 1000)
    assert len(points) < 100
    assert all(not math.isnan(second) for second, _ in points)
