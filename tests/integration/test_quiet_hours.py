"""Quiet hours are kept whenever a call comes due: after a redial's wait, a stop, a day's cap or a backlog, too."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.db.queries.pacing import open_pace
from shared.lifecycle import Lane
from tests.integration.worker_stage import PROVIDER, staged

SINGAPORE = ZoneInfo("Asia/Singapore")
NOW = datetime.now(SINGAPORE).replace(second=0, microsecond=0)
TONIGHT = f"{NOW - timedelta(hours=1):%H:%M}-{NOW + timedelta(hours=2):%H:%M}"
MORNING = (NOW + timedelta(hours=2)).astimezone(UTC)
A_DAY_S = 86_400


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.database.run(lambda connection: open_pace(connection, "test_voice", 1e6))
        keep_quiet(stage, TONIGHT)
        yield stage


def keep_quiet(stage, hours, *, alerts=False):
    stage.execute("UPDATE providers SET quiet_hours = :hours, quiet_alerts = :alerts", hours=hours, alerts=alerts)


@pytest.mark.parametrize(
    ("lane", "alerts", "is_called"),
    [
        (Lane.OTP, True, True),
        (Lane.ALERT, False, True),
        (Lane.ALERT, True, False),
        (Lane.NOTIFICATION, False, False),
    ],
)
def test_what_comes_due_in_quiet_hours_waits_for_their_end(stage, lane, alerts, is_called):
    keep_quiet(stage, TONIGHT, alerts=alerts)
    id_ = stage.keep(lane=lane, ttl_s=A_DAY_S)

    stage.dial(lane)

    message = stage.message(id_)
    assert len(stage.simulator.ledger.accepted) == is_called
    if is_called:
        assert message.status == "placed"
    else:
        assert (message.status, message.reason, message.due_at) == ("queued", "quiet_hours", MORNING)


def test_a_call_that_waits_is_charged_to_nobody_and_made_when_its_time_comes(stage):
    id_ = stage.keep(lane=Lane.NOTIFICATION, ttl_s=A_DAY_S)
    stage.dial(Lane.NOTIFICATION)
    waiting = stage.attempts(id_)
    counted = stage.execute("SELECT DISTINCT calls FROM daily_calls")
    stage.execute("UPDATE messages SET due_at = now()")
    keep_quiet(stage, None)

    stage.dial(Lane.NOTIFICATION)

    assert [(one.disposition, one.reason) for one in waiting] == [("not_sent", "quiet_hours")]
    assert counted == [(0,)]
    assert stage.message(id_).status == "placed"
    assert len(stage.simulator.ledger.accepted) == 1


def test_a_call_whose_deadline_comes_first_expires_and_rings_nobody(stage):
    id_ = stage.keep(lane=Lane.NOTIFICATION, ttl_s=600)

    stage.dial(Lane.NOTIFICATION)
    message = stage.message(id_)
    stage.execute("UPDATE messages SET deadline = now(), due_at = now()")
    stage.sweep()

    assert message.due_at == message.deadline
    assert stage.state(id_) == ("expired", "deadline_passed")
    assert stage.simulator.ledger.accepted == []


def test_quiet_hours_of_one_provider_hold_back_no_other(stage):
    other = stage.keep(lane=Lane.NOTIFICATION, provider_id="prov_loud", ttl_s=A_DAY_S)
    quiet = stage.keep(lane=Lane.NOTIFICATION, provider_id=PROVIDER, ttl_s=A_DAY_S)

    stage.dial(Lane.NOTIFICATION)

    assert {stage.message(one).status for one in (other,)} == {"placed"}
    assert stage.message(quiet).status == "queued"
