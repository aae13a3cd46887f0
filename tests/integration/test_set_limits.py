"""Operators change the pace and the calls in flight while everything runs: the next claim keeps it, everywhere."""

import pytest

from shared.db import reports
from shared.db.queries import audit_log, backlog, claim, pacing
from shared.lifecycle import Lane
from shared.services import pace_of
from tests.integration.worker_stage import staged


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def set_limits(stage, dials, calls):
    pace = pace_of(stage.services.settings)
    stage.services.database.run(lambda c: pacing.set_limits(c, pace, (dials, calls), by="ada"))


def known(stage):
    settings = stage.services.settings
    pace = pace_of(settings)
    with stage.services.database.statement() as connection:
        seen = backlog.read(connection, pace.subaccount_id, pace=pace.dials_per_second, lines=pace.max_in_flight)
        told = reports.limits(connection, pace)
    return (seen.pace, seen.lines), (told["dials_per_second"], told["lines"])


def up(stage):
    return len(stage.execute("SELECT 1 FROM messages WHERE busy_until > now()"))


def test_fewer_calls_are_up_at_once_from_the_next_claim_on_and_more_again_later(stage):
    for _ in range(8):
        stage.keep()
    set_limits(stage, None, 3)
    stage.dial(Lane.OTP)
    few = up(stage)

    set_limits(stage, None, 6)
    stage.dial(Lane.OTP)
    more = up(stage)
    set_limits(stage, None, None)
    stage.dial(Lane.OTP)

    assert (few, more, up(stage)) == (3, 6, 8)


def test_the_pace_is_what_was_set_wherever_it_is_told(stage):
    before = known(stage)
    set_limits(stage, 2.5, 7)

    assert known(stage) == ((2.5, 7), (2.5, 7))
    set_limits(stage, None, None)
    assert known(stage) == before


def test_a_slow_pace_holds_the_claim_back(stage):
    for _ in range(8):
        stage.keep()
    set_limits(stage, 1, None)
    stage.execute("UPDATE subaccounts SET tokens = 1, refilled_at = now()")

    pace = pace_of(stage.services.settings)
    claimed = stage.services.database.run(lambda c: claim.claim(c, pace, Lane.OTP, wanted=8, claim_id="claim_1"))

    assert len(claimed.calls) == 1


def test_a_limit_may_be_above_the_setting(stage):
    set_limits(stage, 5000, 90_000)

    assert known(stage)[0] == (5000, 90_000)


def test_who_set_it_is_noted_with_what_it_was(stage):
    set_limits(stage, 2, None)
    set_limits(stage, 3, 4)

    with stage.services.database.statement() as connection:
        last, *_ = audit_log.listed(connection, audit_log.Wanted(action="pace.set"), 5)
    assert (last["actor"], last["before"], last["after"]) == (
        "ada",
        {"dialsPerSecond": 2.0, "callsInFlight": None},
        {"dialsPerSecond": 3.0, "callsInFlight": 4},
    )


def test_the_command_line_sets_one_and_leaves_the_other(stage, ringpost):
    first = ringpost("pace", "set", "--calls-in-flight", "4")
    second = ringpost("pace", "set", "--dials-per-second", "1.5")
    shown = ringpost("pace", "show")
    wrong = [ringpost("pace", "set", *one) for one in (
        [], ["--dials-per-second", "0"], ["--dials-per-second", "nan"], ["--calls-in-flight", "1.5"])]  # fmt: skip

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert known(stage)[0] == (1.5, 4)
    assert "1.5 of 1.5 allowed, set by" in shown.output
    assert [one.exit_code for one in wrong] == [2] * 4
    assert ringpost("pace", "set", "--dials-per-second", "default", "--calls-in-flight", "default").exit_code == 0
    assert "set by" not in ringpost("pace", "show").output
