"""What 8x8's call log proves of a call in doubt: that it is there or was never made, and nothing by half."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.log_evidence import Doubt, Log, Rival, Shown, Window, weigh, window_for
from shared.voice_api.call_log import LoggedSession, LogRow
from shared.voice_api.events import Leg

NOON = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
SOURCE, KEY = "+6531580001", b"k" * 16


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def doubt(**changes):
    values = {
        "attempt_id": "att_1",
        "message_id": "msg_1",
        "lane": "alert",
        "session_id": None,
        "subaccount_id": "acme_voice",
        "source": SOURCE,
        "destination_key": KEY,
        "started_at": NOON,
        "valid_until": at(90),
        "ready_at": at(760),
        "may_redial": True,
        "lookups": 0,
    }
    return Doubt(**values | changes)


def rival(of=None, **changes):
    values = {name: getattr(of or doubt(), name) for name in Rival.__slots__}
    return Rival(**values | changes)


def session(session_id="s1", *, began_s=2.0, status="COMPLETED", source=SOURCE, subaccount_id="acme_voice"):
    began_at = None if began_s is None else at(began_s)
    ended_at = None if status is None else at(40)
    leg = Leg(
        "c", "OUTBOUND", began_at, None, ended_at, source, "+6581234567", "SG", "SG", "COMPLETED", "COMPLETED",
        0, None, None, None,
    )  # fmt: skip
    return LoggedSession(session_id, (LogRow(session_id, subaccount_id, status, leg),))


def log(*sessions, **changes):
    values = {
        "window": Window(at(-120), at(210)),
        "requested_at": at(760),
        "sessions": sessions,
        "destination_keys": {one.session_id: {KEY} for one in sessions},
        "bound": frozenset(),
        "known": frozenset(),
        "vague": 0,
        "first": None,
        "last": None,
    }
    return Log(**values | changes)


def shown(log_, doubt_=None, rivals=None):
    doubt_ = doubt_ or doubt()
    (found,) = weigh(log_, [doubt_], [rival(doubt_)] if rivals is None else rivals)
    return found.shown


def test_one_call_that_fits_one_attempt_is_its_own():
    (found,) = weigh(log(session()), [doubt()], [rival()])

    assert (found.shown, found.session.session_id) == (Shown.FOUND, "s1")


@pytest.mark.parametrize(
    ("session_", "kind"),
    [
        (session(began_s=-59), Shown.FOUND),
        (session(began_s=149), Shown.FOUND),
        (session(began_s=-61), Shown.AMBIGUOUS),
        (session(began_s=151), Shown.AMBIGUOUS),
        (session(began_s=None), Shown.AMBIGUOUS),
        (session(source="+6531580002"), Shown.AMBIGUOUS),
        (session(source=None), Shown.FOUND),
        (session(subaccount_id="other"), Shown.AMBIGUOUS),
        (session(subaccount_id=None), Shown.FOUND),
        (session(status=None), Shown.RUNNING),
    ],
)
def test_what_the_log_tells_of_a_call_must_agree_and_any_call_to_the_number_forbids_an_absence(session_, kind):
    assert shown(log(session_)) is kind


def test_two_calls_that_fit_are_nobodys():
    assert shown(log(session("s1"), session("s2"))) is Shown.AMBIGUOUS


def test_a_call_that_fits_two_attempts_is_nobodys_even_if_only_one_is_asked_about():
    other = rival(attempt_id="att_2", started_at=at(100), valid_until=at(190))

    assert shown(log(session(began_s=80)), rivals=[rival(), other]) is Shown.AMBIGUOUS
    assert shown(log(session(began_s=20)), rivals=[rival(), other]) is Shown.FOUND


def test_a_call_of_another_attempt_of_ours_is_no_sign_of_this_one():
    assert shown(log(session(), bound={"s1"})) is Shown.ABSENT


@pytest.mark.parametrize(
    "changes",
    [
        {"requested_at": at(759)},
        {"window": Window(at(-59), at(210))},
        {"window": Window(at(-120), at(149))},
        {"vague": 1},
        {"known": {"s9"}},
        {"first": at(-8 * 3600)},
        {"last": at(8 * 3600)},
    ],
)
def test_an_absence_needs_a_late_and_wide_and_believable_log(changes):
    assert shown(log()) is Shown.ABSENT
    assert shown(log(**changes)) is Shown.NOT_SHOWN


def test_a_log_that_has_the_calls_that_8x8_reported_shows_an_absence():
    reported = session("s9")

    assert shown(log(reported, known={"s9"}, bound={"s9"})) is Shown.ABSENT


@pytest.mark.parametrize("hours", [-8, 8])
def test_times_of_another_zone_bind_no_call(hours):
    assert shown(log(session(), first=at(hours * 3600), last=at(hours * 3600))) is Shown.AMBIGUOUS


@pytest.mark.parametrize(
    ("sessions", "kind"),
    [([session()], Shown.FOUND), ([session(status=None)], Shown.RUNNING), ([session("s2")], Shown.NOT_SHOWN)],
)
def test_a_session_that_is_known_is_looked_up_by_its_id_alone_and_never_absent(sessions, kind):
    assert shown(log(*sessions, vague=3, last=at(9 * 3600)), doubt(session_id="s1"), []) is kind


def test_a_window_is_wide_enough_for_every_attempt_near_the_one_asked_about_least():
    doubts = [
        doubt(attempt_id="att_old", started_at=at(-7200), valid_until=at(-7110), lookups=3),
        doubt(),
        doubt(attempt_id="att_2", started_at=at(600), valid_until=at(690), lookups=1),
    ]

    window = window_for(doubts)

    assert [window.covers(one) for one in doubts] == [False, True, True]
    assert window.until - window.since < timedelta(minutes=40)
    assert window_for([]) is None
    assert window_for([replace(one, lookups=0) for one in doubts]).covers(doubts[0])
