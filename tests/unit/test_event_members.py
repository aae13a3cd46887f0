"""How single members of a webhook are read, whatever type 8x8 gives them."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.voice_api.events import CallAction, parse

SAMPLES = Path(__file__).parents[1] / "contract" / "samples"
A_SUMMARY = json.loads((SAMPLES / "vss_completed.json").read_bytes())
A_CALL_ACTION = json.loads((SAMPLES / "vca_key_pressed.json").read_bytes())


def raw(body, **payload):
    """The body with payload members replaced, or left out when they are ``...``."""
    changed = copy.deepcopy(body)
    for name, value in payload.items():
        changed["payload"].pop(name, None)
        if value is not ...:
            changed["payload"][name] = value
    return json.dumps(changed).encode()


def raw_leg(**members):
    return raw(A_SUMMARY, details={"callA": A_SUMMARY["payload"]["details"]["callA"] | members})


# --- VCA


@pytest.mark.parametrize(
    ("event_data", "dtmf"),
    [
        ({"dtmf": "5"}, "5"),
        ({"dtmf": "*#0"}, "*#0"),
        ({"DTMF": "5"}, "5"),
        ({"dtmf": 5}, "5"),
        ({"dtmf": None}, None),
        ({"dtmf": ""}, None),
        ({"dtmf": ["5"]}, None),
        ({}, None),
        ("5", "5"),
        (5, "5"),
        ("", None),
        ("null", None),
        (None, None),
        (..., None),
        ([], None),
        (True, None),
    ],
)
def test_a_key_press_is_read_from_every_shape_of_event_data(event_data, dtmf):
    event = parse(raw(A_CALL_ACTION, eventData=event_data))

    assert isinstance(event, CallAction)
    assert event.dtmf == dtmf


# --- VSS


@pytest.mark.parametrize(
    ("spelling", "number"),
    [
        ("+6588887777", "+6588887777"),
        ("6588887777", "+6588887777"),
        (6588887777, "+6588887777"),
        (" +65 8888-7777 ", "+6588887777"),
        ("+1 (202) 555.0143", "+12025550143"),
        ("anonymous", None),
        ("++6588887777", None),
        ("65", None),
        ("6" * 16, None),
        ("\u0666\u0665\u0668\u0668", None),
        ("", None),
        (None, None),
        (["+6588887777"], None),
    ],
)
def test_numbers_come_back_as_e164(spelling, number):
    assert parse(raw_leg(destination=spelling)).destination == number
    assert parse(raw(A_CALL_ACTION, destination=spelling)).destination == number


@pytest.mark.parametrize(
    ("code", "read"),
    [
        (-2010, -2010),
        ("-2010", -2010),
        (" -2010 ", -2010),
        (-2010.0, -2010),
        ("", None),
        ("many", None),
        (None, None),
        (True, None),
        (10**20, None),
        ("1e999", None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_an_error_code_is_an_integer_or_nothing(code, read):
    assert parse(raw(A_SUMMARY, errorDetails={"errorCode": code})).error_code == read


@pytest.mark.parametrize("details", [None, "trunk capacity", [], -2010])
def test_error_details_of_another_type_are_no_error(details):
    event = parse(raw(A_SUMMARY, errorDetails=details))

    assert (event.error_code, event.error_message) == (None, None)


def test_an_error_message_is_capped_and_cleaned():
    event = parse(raw(A_SUMMARY, errorDetails={"errorMsg": "a\x00b\ud800c" + "x" * 1000}))

    assert event.error_message == "abc" + "x" * 297


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2027-03-01T10:00:09Z", datetime(2027, 3, 1, 10, 0, 9, tzinfo=UTC)),
        ("2027-03-01T10:00:09.250Z", datetime(2027, 3, 1, 10, 0, 9, 250000, tzinfo=UTC)),
        ("2027-03-01T18:00:09+08:00", datetime(2027, 3, 1, 10, 0, 9, tzinfo=UTC)),
        ("2027-03-01T10:00:09", datetime(2027, 3, 1, 10, 0, 9, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:00", None),
        ("yesterday", None),
        ("null", None),
        (1772359209, None),
        (None, None),
    ],
)
def test_times_are_aware_utc_or_nothing(time, read):
    assert parse(raw_leg(connectedTimestamp=time)).connected_at == read


def test_the_duration_is_8x8s_count():
    assert parse(raw_leg(callDuration=30)).duration_s == 30


@pytest.mark.parametrize("count", [None, "soon", -1, {}])
def test_without_8x8s_count_the_duration_comes_from_the_times(count):
    assert parse(raw_leg(callDuration=count)).duration_s == 31


def test_without_count_and_times_the_duration_is_unknown():
    assert parse(raw_leg(callDuration=None, connectedTimestamp=None)).duration_s is None


def test_a_leg_that_ends_before_it_connects_lasts_no_time():
    event = parse(raw_leg(callDuration=None, disconnectedTimestamp="2027-03-01T09:00:00Z"))

    assert event.duration_s == 0


@pytest.mark.parametrize("details", [None, "callA", [], {}, {"callA": None}, {"other": {"callId": "x"}}])
def test_a_summary_without_legs_still_tells_its_status(details):
    event = parse(raw(A_SUMMARY, details=details))

    assert event.session_status == "COMPLETED"
    assert event.legs == ()
    assert (event.source, event.destination, event.connected_at, event.duration_s) == (None,) * 4
    assert not event.is_inbound


def test_a_summary_without_a_status_is_unknown():
    event = parse(raw(A_SUMMARY, sessionStatus=...))

    assert (event.session_status, event.raw_status) == ("UNKNOWN", None)


def test_an_event_shows_no_number_in_its_repr():
    assert "8888" not in repr(parse(raw(A_SUMMARY)))
    assert "8888" not in repr(parse(raw(A_CALL_ACTION)))
