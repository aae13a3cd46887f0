"""The make-call body's own rules, apart from what a provider may ask for."""

import pytest

from ingress.call_request import CallRequest, check

GOOD = {"messageId": "OTP1", "customerPhone": "+6581234567", "message": "Hello"}


@pytest.mark.parametrize(("asked", "plays"), [(1, 1), (2, 2), (3, 3), (4, 3), (10, 3)])
def test_more_than_three_plays_become_three(asked, plays):
    call = check(GOOD | {"repetition": asked})

    assert isinstance(call, CallRequest)
    assert call.plays == plays


@pytest.mark.parametrize(
    "member",
    ["ttlSeconds", "expiresAt", "code", "language", "voice", "from", "scheduledAt", "callbackUrl"],
)
def test_null_stands_for_a_member_that_was_left_out(member):
    assert check(GOOD | {member: None}) == check(GOOD)


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("messageId", "", "must not be empty"),
        ("messageId", 1, "must be a string"),
        ("messageId", "x" * 129, "may have at most 128 characters"),
        ("repetition", "2", "must be an integer"),
        ("repetition", True, "must be an integer"),
        ("repetition", 11, "must lie between 1 and 10"),
        ("ttlSeconds", 1, "must lie between 15 and 86400"),
        ("speed", "1", "must be a number"),
        ("speed", 3, "must lie between 0.5 and 2"),
        ("interruptible", 1, "must be true or false"),
        ("redial", 1, "must be an object"),
        ("metadata", [], "must be an object"),
        ("type", "sms", "must be 'otp', 'alert' or 'notification'"),
        ("code", "1", "must be 3 to 12 digits or letters A to Z"),
        ("expiresAt", 1, "must be an RFC 3339 time such as 2026-10-05T09:12:10Z"),
    ],
)
def test_a_fault_is_said_in_plain_words(member, value, said):
    (error,) = check(GOOD | {member: value})

    assert (error.member, error.message) == (member, said)


@pytest.mark.parametrize("body", [None, 1, "x", [], [GOOD]])
def test_a_body_that_is_no_object_is_one_fault(body):
    (error,) = check(body)

    assert (error.member, error.message) == ("", "the body must be a JSON object")


def test_at_most_twenty_faults_are_named():
    assert len(check({f"unknown{n}": n for n in range(1000)})) == 20
