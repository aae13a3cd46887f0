"""Drill: everything that can die dies once in the middle of a burst."""

import time
from collections import Counter

import click
import pytest

from tests.e2e.burst import Burst, contradictions, faults_of, undetermined_of

MESSAGES = 1000
BURST_S = 8
DRAIN_S = 60
WORST_UNDETERMINED = 0.05

pytestmark = pytest.mark.xdist_group("deaths")


def deaths(stage):
    """One death each, in the order they strike."""
    return [
        lambda: stage.kill("web"),
        lambda: stage.kill("calls-otp"),
        lambda: stage.kill("events"),
        stage.lose_redis,
        lambda: stage.kill("callbacks"),
        lambda: stage.kill("sweeper"),
        lambda: stage.kill_master("calls-otp"),
        stage.crash_postgres,
        lambda: stage.kill("calls-bulk"),
        lambda: stage.kill_master("web"),
    ]


def test_a_burst_survives_the_death_of_everything_once(stage, capsys):
    strikes = deaths(stage)
    started = time.monotonic()

    with Burst(stage, "burst", MESSAGES, BURST_S) as burst:
        for place, strike in enumerate(strikes, start=1):
            burst.wait_for_accepted(place * MESSAGES // (len(strikes) + 1))
            strike()
    burst.wait_for_end(DRAIN_S)
    took = time.monotonic() - started

    statuses = Counter(status for status, _ in burst.statuses().values())
    copies = sum(len(told) - 1 for told in burst.callbacks().values())
    with capsys.disabled():
        click.echo(
            f"\nburst: {len(burst.accepted)} accepted (refused meanwhile: {dict(burst.refused)}), {dict(statuses)}, "
            f"{copies} duplicate callbacks, undetermined: {undetermined_of(burst)}, {took:.1f} s"
        )
    audited = stage.ringpost("audit", "--grace", "5")
    assert faults_of(burst) == []
    assert statuses["undetermined"] <= WORST_UNDETERMINED * MESSAGES
    assert audited.returncode == 0, audited.stdout + audited.stderr


TOLD = ("evt_1", "message.delivered", "delivered")


@pytest.mark.parametrize(
    ("status", "reason", "calls", "told"),
    [
        ("delivered", None, ["COMPLETED", "COMPLETED"], [TOLD]),
        ("delivered", None, [], [TOLD]),
        ("delivered", None, ["COMPLETED"], []),
        ("delivered", None, ["COMPLETED"], [TOLD, ("evt_2", *TOLD[1:])]),
        ("undetermined", None, ["COMPLETED"], [("evt_1", "message.undetermined", "undetermined")]),
        ("undetermined", "no_summary", ["COMPLETED"], [TOLD]),
        ("expired", "deadline_passed", ["COMPLETED"], [("evt_1", "message.expired", "expired")]),
        ("expired", "deadline_passed", ["ERROR"], [("evt_1", "message.expired", "expired")]),
        ("expired", "expired_upstream", ["COMPLETED"], [("evt_1", "message.expired", "expired")]),
        ("expired", "expired_upstream", ["ERROR", "ERROR"], [("evt_1", "message.expired", "expired")]),
        ("placed", None, ["COMPLETED"], [TOLD]),
        ("lost", None, [], []),
    ],
)
def test_the_verdict_sees_what_must_not_be(status, reason, calls, told):
    assert list(contradictions(status, reason, calls, told)) != []


def test_the_verdict_has_nothing_against_a_call_that_8x8_let_expire():
    told = [("evt_1", "message.expired", "expired")]
    assert list(contradictions("expired", "expired_upstream", ["ERROR"], told)) == []


def test_the_verdict_has_nothing_against_a_repeated_callback():
    assert list(contradictions("delivered", None, ["COMPLETED"], [TOLD, TOLD])) == []
