"""What the drills of this folder hold a burst's end against; ``tests/chaos`` plays bursts in which everything dies."""

import pytest

from tests.e2e.burst import contradictions

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
