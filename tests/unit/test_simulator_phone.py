"""What phones do: ringing, speaking, keys, hanging up."""

from datetime import UTC, datetime, timedelta

import pytest

from deploy.simulator.outcomes import (
    BEHAVIOURS,
    DEFAULT,
    OUTCOMES,
    UnknownBehaviour,
    behaviour_of,
    behaviours_named,
    table,
)
from deploy.simulator.phone import capture, play, refusal_at_dial, ring, seconds_to_speak
from deploy.simulator.validation import Callflow
from shared import speech

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
LISTENS = BEHAVIOURS["completed"]
SAY = {"action": "say", "params": {"text": "x" * 140, "voiceProfile": "v", "repetition": 2, "speed": 2}}
HANG_UP = {"action": "hangup"}
PROMPT = {"promptMessage": "x" * 14, "minDigits": 1, "maxDigits": 1, "completeOnHash": False}
TIMEOUTS = {"digitTimeout": 2000, "overallTimeout": 3000, "noOfTries": 2}


def asked(**params):
    return {"action": "sayAndCapture", "params": PROMPT | TIMEOUTS | params}


@pytest.mark.parametrize(
    ("suffix", "behaviours", "dials"),
    [
        ("0001", ("busy",), ["BUSY", "BUSY"]),
        ("0002", ("no_answer",), ["NO_ANSWER", "NO_ANSWER"]),
        ("0003", ("failed",), ["FAILED", "FAILED"]),
        ("0004", ("canceled",), ["CANCELED", "CANCELED"]),
        ("0005", ("internal_error",), [-2001, -2001]),
        ("0006", ("over_capacity", "completed"), [-2010, "COMPLETED"]),
        ("0007", ("hangs_up_at_once",), ["COMPLETED", "COMPLETED"]),
        ("0008", ("presses_5",), ["COMPLETED", "COMPLETED"]),
        ("0009", ("unsubscribed",), ["UNSUBSCRIBED_CONTACT", "UNSUBSCRIBED_CONTACT"]),
        ("0010", ("voicemail",), ["COMPLETED", "COMPLETED"]),
        ("0011", ("busy", "completed"), ["BUSY", "COMPLETED"]),
        ("0012", ("no_answer", "completed"), ["NO_ANSWER", "COMPLETED"]),
        ("0013", ("failed", "completed"), ["FAILED", "COMPLETED"]),
        ("0014", ("connectivity_error",), [-2002, -2002]),
        ("0015", ("no_coverage",), [-2004, -2004]),
        ("0016", ("validity_over",), [-2007, -2007]),
        ("0017", ("caller_id_refused",), [-2008, -2008]),
        ("0018", ("unknown_error",), [-9999, -9999]),
        ("0019", ("not_synthesised",), [-2005, -2005]),
        ("0020", ("opts_out",), ["COMPLETED_UNSUBSCRIBED", "COMPLETED_UNSUBSCRIBED"]),
        ("0021", ("opt_out_lost",), ["COMPLETED_UNSUB_ERROR", "COMPLETED_UNSUB_ERROR"]),
        ("0022", ("unheard_of",), ["DIVERTED", "DIVERTED"]),
    ],
)
def test_a_numbers_last_four_digits_decide_its_dials(suffix, behaviours, dials):
    played = [BEHAVIOURS[behaviour_of(f"+658123{suffix}", dial=dial)] for dial in (0, 1)]

    assert OUTCOMES[suffix] == behaviours
    assert [behaviour.error_code or behaviour.session_status for behaviour in played] == dials


def test_every_suffix_is_covered_above():
    assert len(OUTCOMES) == 22


def test_any_other_number_answers_and_listens():
    assert behaviour_of("+6581234567", dial=3) == DEFAULT[0] == "completed"


def test_a_plan_wins_over_the_suffix_and_its_last_behaviour_repeats():
    names = [behaviour_of("+6581230001", dial=dial, plan=("no_answer", "voicemail")) for dial in range(3)]

    assert names == ["no_answer", "voicemail", "voicemail"]


def test_the_suffix_convention_can_be_switched_off():
    assert behaviour_of("+6581230001", dial=0, by_suffix=False) == "completed"


@pytest.mark.parametrize("names", [[], ["bussy"]])
def test_a_plan_of_unknown_behaviours_is_refused_with_the_known_ones(names):
    with pytest.raises(UnknownBehaviour, match="no_answer"):
        behaviours_named(names)


def test_the_served_table_explains_every_behaviour_it_names():
    served = table()

    assert {name for names in served["outcomes"].values() for name in names} <= set(served["behaviours"])


def test_speech_takes_fourteen_characters_a_second_and_a_pause_for_each_play():
    assert seconds_to_speak("x" * 140) == 11
    assert seconds_to_speak("x" * 140, speed=2, repetition=3) == 18
    assert seconds_to_speak("4, 8; 2." + "x" * 132) == 11 + 0.25 + 0.5 + 0.5


@pytest.mark.parametrize("language", ["en-US", "de-DE", "es-ES", "fr-FR", "pt-BR"])
@pytest.mark.parametrize("code", ["407", "4711", "482915", "48291560", "482915604711"])
def test_a_code_that_was_spoken_twice_was_heard_once_by_our_own_estimate(language, code):
    text = speech.spoken_text("Your code is {code}.", code, language)

    assert seconds_to_speak(text, repetition=2) >= speech.seconds_per_play(text, 1, language)


@pytest.mark.parametrize(
    ("name", "seconds", "is_answered"),
    [("completed", 6, True), ("busy", 4, False), ("no_answer", 45, False), ("voicemail", 25, True)],
)
def test_a_phone_rings_as_its_behaviour_says(name, seconds, is_answered):
    rung = ring(BEHAVIOURS[name], ring_s=6)

    assert (rung.seconds, rung.is_answered) == (seconds, is_answered)


@pytest.mark.parametrize("name", [name for name, behaviour in BEHAVIOURS.items() if behaviour.error_code])
def test_an_error_before_dialling_rings_nobody(name):
    rung = ring(BEHAVIOURS[name], ring_s=6)

    assert rung.is_answered or (rung.seconds == 0 and rung.error_code == BEHAVIOURS[name].error_code)


def test_a_trailing_hang_up_ends_the_call_without_a_question():
    stretch = play([SAY, HANG_UP], LISTENS, connected_for_s=0, barge_in=False)

    assert (stretch.seconds, stretch.last_action, stretch.is_up) == (12, "hangup", False)


def test_a_flow_without_hang_up_leaves_the_leg_up():
    stretch = play([SAY], LISTENS, connected_for_s=0, barge_in=False)

    assert (stretch.last_action, stretch.is_up, stretch.digits) == ("say", True, None)


@pytest.mark.parametrize(("connected_for_s", "seconds"), [(0, 1), (0.25, 0.75), (5, 0)])
def test_a_callee_who_hangs_up_cuts_the_speech_short(connected_for_s, seconds):
    hasty = BEHAVIOURS["hangs_up_at_once"]

    stretch = play([SAY, HANG_UP], hasty, connected_for_s=connected_for_s, barge_in=False)

    assert (stretch.seconds, stretch.last_action, stretch.is_up) == (seconds, "say", False)


def test_a_file_is_played_as_often_as_asked():
    action = {"action": "playFile", "params": {"fileUrl": "https://x.test/a.mp3", "repetition": 3}}

    assert play([action], LISTENS, connected_for_s=0, barge_in=False).seconds == 18


def test_a_key_ends_the_capture_one_second_after_the_prompt():
    stretch = play([asked()], BEHAVIOURS["presses_5"], connected_for_s=0, barge_in=False)

    assert (stretch.seconds, stretch.digits, stretch.is_up) == (3, "5", True)


def test_with_barge_in_a_key_cuts_the_prompt_off():
    assert capture(PROMPT | TIMEOUTS, "5", barge_in=True) == (1, "5")


def test_without_a_key_the_prompt_is_spoken_as_often_as_tries_allow():
    seconds, digits = capture(PROMPT | TIMEOUTS, "", barge_in=False)

    assert (seconds, digits) == (2 * (2 + 3), None)


@pytest.mark.parametrize(
    ("params", "keys", "expected"),
    [
        ({"completeOnHash": True, "maxDigits": 4, "overallTimeout": 9000}, "407#", (2 + 4, "407")),
        ({"completeOnHash": True, "minDigits": 2, "noOfTries": 1}, "4#", (2 + 2, None)),
        ({"maxDigits": 4, "minDigits": 2, "overallTimeout": 9000}, "40", (2 + 2 + 2, "40")),
        ({"maxDigits": 4, "minDigits": 4, "overallTimeout": 3000, "noOfTries": 1}, "4071", (2 + 3, None)),
        ({"maxDigits": 2, "minDigits": 2, "digitTimeout": 500, "noOfTries": 1}, "40", (2 + 1.5, None)),
        ({"successMessage": "x" * 14}, "5", (2 + 1 + 2, "5")),
        ({"failureMessage": "x" * 14, "noOfTries": 1}, "", (2 + 3 + 2, None)),
    ],
)
def test_a_capture_ends_by_hash_by_count_or_by_timeout(params, keys, expected):
    assert capture(PROMPT | TIMEOUTS | params, keys, barge_in=False) == expected


def test_a_second_dial_takes_no_time_and_bridges_nobody():
    bridge = {"action": "makeCall", "params": {}}

    assert play([bridge, HANG_UP], LISTENS, connected_for_s=0, barge_in=False).seconds == 0


@pytest.mark.parametrize(
    ("changes", "has_trunk", "covered", "code"),
    [
        ({}, True, None, None),
        ({"valid_until": NOON + timedelta(seconds=1)}, True, frozenset({"SG"}), None),
        ({"valid_until": NOON}, False, frozenset(), -2007),
        ({}, False, frozenset({"US"}), -2004),
        ({}, False, None, -2010),
    ],
)
def test_a_session_ends_before_its_phone_rings(changes, has_trunk, covered, code):
    callflow = Callflow(source="+6531580001", destination="+6581234567", actions=[], **changes)

    assert refusal_at_dial(callflow, now=NOON, has_trunk=has_trunk, covered=covered) == code
