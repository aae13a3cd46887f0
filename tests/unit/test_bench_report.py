"""The results as people read them."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from deploy.bench import plots, report
from deploy.bench.goals import judge
from deploy.bench.machine import Circumstances, look_around
from deploy.bench.result import Measured, Plot, by_key, written

AROUND = Circumstances("2 cores", "3.11.7", "abc123", "2026-11-24 09:00 UTC", ("PostgreSQL 18", "Valkey 9"), 0.5)


def a_burst(times=6.5):
    measured = Measured("burst", "A burst", notes=["Mind the gap."])
    measured.add("times", "against naive", times, "x")
    measured.add("ours", "Ringpost", 1200.0, "/s")
    measured.add("naive", "naive", 185.0, "/s")
    return measured


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "/s", "1,234 /s"),
        (12.34, "ms", "12.3 ms"),
        (6.5, "x", "6.50x"),
        (0.1234, "", "0.123"),
        (None, "ms", "-"),
        (float("inf"), "ms", "∞"),
    ],
)
def test_a_value_is_written_with_three_digits_that_mean_something(value, unit, text):
    assert written(value, unit) == text


def test_a_missed_goal_is_reported_with_the_absolute_figures_beside_it():
    measured = [a_burst(times=3.0)]
    text = report.results(measured, judge(by_key(measured)), AROUND, [], Path())

    (line,) = [line for line in text.splitlines() if "against naive" in line and "missed" in line]
    assert "3.00x" in line
    assert "Ringpost 1,200 /s" in line


def test_the_results_tell_machine_commit_date_and_notes():
    text = report.results([a_burst()], [], AROUND, [Path("plots/drain.svg")], Path())

    for part in ("2 cores", "abc123", "2026-11-24", "Valkey 9", "Mind the gap.", "![drain](plots/drain.svg)"):
        assert part in text


def test_the_terminal_shows_each_verdict():
    measured = [a_burst()]
    out = io.StringIO()

    report.print_verdicts(judge(by_key(measured))[:1], by_key(measured), Console(file=out, width=200))

    assert "met" in out.getvalue()
    assert "6.50x" in out.getvalue()


def test_where_the_engines_sockets_are_is_not_told():
    around = look_around(["PostgreSQL 18 from the wheel, private: a/folder/of/somebody"])

    assert around.engines == ("PostgreSQL 18 from the wheel",)


def test_a_plot_without_a_curve_is_not_drawn(tmp_path):
    measured = a_burst()
    measured.plots = [Plot("empty", "Nothing", "x", "y", {"a": []})]

    assert plots.draw_all([measured], tmp_path) == []
