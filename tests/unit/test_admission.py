"""When a message would be dialled, and whether that is in time."""

from datetime import UTC, datetime, timedelta

import pytest

from ingress.admission import estimate
from shared.lifecycle import Lane

NOW = datetime(2026, 10, 5, 9, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("backlog", "lane", "wait_s"),
    [
        ({}, Lane.OTP, 0),
        ({"otp": 100}, Lane.OTP, 10),
        ({"alert": 100, "notification": 100}, Lane.OTP, 0),
        ({"otp": 50, "alert": 100, "notification": 10}, Lane.ALERT, 16),
        ({"otp": 50}, Lane.NOTIFICATION, 5),
    ],
)
def test_a_message_waits_for_those_ahead_of_it(backlog, lane, wait_s):
    expected = estimate(backlog, lane, dials_per_second=10, begins=NOW, deadline=NOW + timedelta(hours=1))

    assert (expected.wait_s, expected.dial_at) == (wait_s, NOW + timedelta(seconds=wait_s))
    assert expected.will_meet_deadline


@pytest.mark.parametrize(("deadline_s", "holds"), [(11, True), (10, False), (9, False)])
def test_a_deadline_holds_only_when_dialling_comes_before_it(deadline_s, holds):
    deadline = NOW + timedelta(seconds=deadline_s)

    assert (
        estimate({"otp": 100}, Lane.OTP, dials_per_second=10, begins=NOW, deadline=deadline).will_meet_deadline is holds
    )
