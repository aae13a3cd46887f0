"""What the long drills are judged by: slopes against noise, growth of each process, and who waited how long."""

import random

import pytest
from click.testing import CliRunner

from deploy.chaos import conductor
from deploy.chaos.held_plot import binned
from deploy.chaos.programmes.hostile import is_of_the_well, peak_mib, waits
from deploy.chaos.records import Attempt, Delivery, Event, Evidence, Kind, Post, Row, Session
from deploy.chaos.steadiness import Spans, figures, growth, latencies
from deploy.chaos.trend import BLOCKS, Block, blocks, student, trend_of
from deploy.commands.chaos import chaos

SPANS = Spans(loaded_s=30, warm_s=330, broken_s=1530, look_s=60)
MIB, DESCRIPTORS, THREADS = 80.0, 20, 8


def series(seed, gain=0.0, alike=0.0, foreign=0.0):
    """Blocks around 10 whose noise is like the block's before, and that also follow what others take."""
    luck, noise = random.Random(seed), 0.0
    for place in range(BLOCKS):
        noise = alike * noise + luck.gauss(0, 1)
        share = place / BLOCKS + luck.uniform(-0.4, 0.4)
        yield Block(60.0 * place, 10 + gain * place / BLOCKS + noise + foreign * share, share if foreign else 0.0)


def seen_as_rising(**how):
    """Of a hundred such series."""
    return sum(trend_of(list(series(seed, **how))).is_rising for seed in range(100))


@pytest.mark.parametrize(
    ("how", "most"), [({}, 3), ({"alike": 0.5}, 6), ({"foreign": 20.0}, 3)], ids=["noise", "lasting noise", "others"]
)
def test_a_series_without_a_trend_is_hardly_ever_said_to_rise(how, most):
    assert seen_as_rising(**how) <= most


@pytest.mark.parametrize("how", [{"gain": 6.0}, {"gain": 14.0, "foreign": 20.0}], ids=["rising", "beside others"])
def test_a_rise_is_seen_through_the_noise(how):
    assert seen_as_rising(**how) >= 80


def test_a_line_is_read_exactly():
    trend = trend_of([Block(60.0 * place, 5 + 2 * place, 0.0) for place in range(BLOCKS)])

    assert (trend.level, trend.gain) == pytest.approx((5, 2 * (BLOCKS - 1)))
    assert trend.error == pytest.approx(0, abs=1e-6)


def test_too_few_blocks_say_nothing():
    assert trend_of([Block(float(place), 1.0, 0.0) for place in range(5)]) is None


@pytest.mark.parametrize(("freedom", "quantile"), [(8, 3.355), (17, 2.898), (100, 2.626)])
def test_the_quantile_is_students(freedom, quantile):
    assert student(freedom) == pytest.approx(quantile, rel=0.01)


def test_blocks_take_a_percentile_of_what_lies_in_the_span():
    points = [(place / 10, float(place % 10)) for place in range(-50, 300)]

    found = blocks(points, [(0.5, 0.25), (0.7, 0.75)], (0, 20), 0.5)

    assert [block.value for block in found] == [5.0] * BLOCKS
    assert (found[0].foreign, found[1].foreign) == (0.5, 0.0)


def look(at_s, processes, **more):
    known = {"processes": processes, "connections": 20, "redis": 1_000_000, "foreign": 0.1}
    return Event(kind=Kind.HELD, at_s=at_s, wall=1000.0 + at_s, facts=known | more)


def test_growth_is_of_one_life_from_its_own_warm_up_on():
    points = [(float(at_s), at_s / 100) for at_s in range(1000, 2001, 5)]

    assert growth(points, 300, 60) == pytest.approx((13.275, 19.7), abs=0.05)
    assert growth(points, 300, 60, until=1300) is None


def evidence_of(grown=0.0, more=0, connections=0, redis=0):
    """Half an hour of one process that gains so much between its fifth minute and its end."""

    def share(at_s):
        return max(0.0, (at_s - SPANS.warm_s) / (1830 - SPANS.warm_s))

    history = [Event(kind=Kind.BEGAN, at_s=0.0, wall=1000.0)]
    for at_s in range(0, 1900, 5):
        gained = share(at_s)
        process = ["events", 7, 900.0, MIB + grown * gained, DESCRIPTORS + more * gained, THREADS]
        held = {"connections": 20 + round(connections * gained), "redis": 1_000_000 + round(redis * gained)}
        history.append(look(float(at_s), [process], **held))
    return Evidence(history=tuple(history), sessions=(), deliveries=(), rows=(), attempts=())


@pytest.mark.parametrize(
    ("leak", "figure"),
    [
        ({}, None),
        ({"grown": 6.0}, "events: % more"),
        ({"more": 12}, "events: descriptors more"),
        ({"connections": 9}, "PostgreSQL connections more"),
        ({"redis": 200_000}, "Redis at the end, % more"),
    ],
    ids=["steady", "memory", "descriptors", "connections", "redis"],
)
def test_each_kind_of_leak_is_named(leak, figure):
    found = figures(evidence_of(**leak), SPANS)

    missed = {one.name for one in found if one.most is not None and one.value > one.most}
    assert figure in missed if leak else missed == set()


def row(name, created_at=1001.0, finished_at=1003.0):
    return Row(
        id=f"msg_{name}",
        message_id=name,
        status="delivered",
        reason=None,
        has_text=False,
        most_calls=2,
        created_at=created_at,
        finished_at=finished_at,
    )


def told(name, at, kind="message.delivered"):
    return Delivery(webhook_id=name, message_id=name, type=kind, status="delivered", at=at, is_verified=True)


def call(request_id, accepted_at, told_at):
    return Session(
        destination="+49151",
        session_id=request_id,
        request_id=request_id,
        accepted_at=accepted_at,
        status="COMPLETED",
        vss=(Post(told_at, 200),),
    )


def test_latencies_are_of_the_first_call_and_of_the_last_summary():
    began = Event(kind=Kind.BEGAN, at_s=0.0, wall=1000.0)
    attempts = tuple(Attempt(attempt_id=f"a{number}", id="msg_m-1", number=number) for number in (1, 2))
    sessions = (call("a1", 1001.5, 1001.8), call("a2", 1002.0, 1002.9))
    deliveries = (told("m-1", 1003.1), told("m-1", 1001.9, "message.placed"), told("m-1", 1009.0))

    found = latencies(
        Evidence(history=(began,), sessions=sessions, deliveries=deliveries, rows=(row("m-1"),), attempts=attempts)
    )

    assert found["accept to dial"] == [(1.0, pytest.approx(500))]
    assert found["report to callback"] == [(pytest.approx(2.9), pytest.approx(200))]


def test_the_well_wait_apart_from_the_hostile_and_round_from_round():
    names = ["control0-00007", "hostile1-00007", "hostile1-00008", "hostile1-00011", "hostile2-00000", "warm-00000"]
    rows = tuple(row(name) for name in names)
    deliveries = tuple(told(name, 1003.0 + place) for place, name in enumerate(names))
    evidence = Evidence(history=(), sessions=(), deliveries=deliveries, rows=rows, attempts=())

    assert waits(evidence, "control", 8) == [[0.0]]
    assert waits(evidence, "hostile", 8) == [[1.0, 3.0], [4.0]]
    assert [is_of_the_well(name, 8) for name in names] == [True, True, False, True, True, True]


def test_a_peak_is_what_the_kernel_has_seen():
    assert peak_mib("Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t   92160 kB\nVmRSS:\t   81920 kB\n") == 90


def test_a_curve_has_a_point_for_each_part_that_has_values():
    assert binned([(0.0, 1.0), (0.1, 3.0), (9.0, 5.0)], 0.5, bins=3) == [(1.5, 3.0), (7.5, 5.0)]
    assert binned([], 0.5) == []


def test_the_soak_is_played_only_when_it_is_named():
    assert "soak" not in [one.name for one in conductor.chosen([])]
    (soak,) = conductor.chosen(["soak"])
    assert (soak.messages_in(30), soak.messages_in(None)) == (90_000, None)


@pytest.mark.parametrize(
    "arguments", [["--minutes", "5"], ["--only", "soak", "--minutes", "5", "--messages", "9"], ["--only", "sooak"]]
)
def test_a_length_that_no_drill_takes_is_a_wrong_use_and_starts_nothing(arguments):
    result = CliRunner().invoke(chaos, arguments)

    assert result.exit_code == 2
    assert arguments[-2] in result.output
