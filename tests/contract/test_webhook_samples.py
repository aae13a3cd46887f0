"""Every shape of webhook that 8x8 documents or was seen to send, and how it is understood."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.voice_api.events import CallAction, Leg, OtherEvent, SessionSummary, parse

SAMPLES = Path(__file__).parent / "samples"
CALLER_ID, PHONE = "+6569990001", "+6588887777"


def read(name):
    return parse((SAMPLES / f"{name}.json").read_bytes())


def at(second, microsecond=0):
    return datetime(2027, 3, 1, 10, 0, second, microsecond, tzinfo=UTC)


def test_every_sample_is_listed_here():
    listed = {row[0] for table in (SUMMARIES, CALL_ACTIONS, OTHERS) for row in table}

    assert listed == {path.stem for path in SAMPLES.glob("*.json")}


# name, session_status, raw_status, connected second, duration, error code, legs
SUMMARIES = [
    ("vss_completed", "COMPLETED", "COMPLETED", 9, 30, None, 1),
    ("vss_no_answer", "NO_ANSWER", "NO_ANSWER", None, 0, None, 1),
    ("vss_no_answer_old_spelling", "NO_ANSWER", "NO ANSWER", None, 0, None, 1),
    ("vss_busy", "BUSY", "BUSY", None, 0, None, 1),
    ("vss_canceled", "CANCELED", "CANCELED", None, 0, None, 1),
    ("vss_cancelled_old_spelling", "CANCELED", "CANCELLED", None, 0, None, 1),
    ("vss_failed_old_casing", "FAILED", "FAILED", None, 0, None, 1),
    ("vss_error_capacity", "ERROR", "ERROR", None, 0, -2010, 1),
    ("vss_error_after_answer", "ERROR", "ERROR", 9, 16, -2003, 1),
    ("vss_unsubscribed", "UNSUBSCRIBED_CONTACT", "UNSUBSCRIBED_CONTACT", None, None, None, 0),
    ("vss_completed_unsubscribed", "COMPLETED_UNSUBSCRIBED", "COMPLETED_UNSUBSCRIBED", 9, 30, None, 1),
    ("vss_completed_unsub_error", "COMPLETED_UNSUB_ERROR", "COMPLETED_UNSUB_ERROR", 9, 30, None, 1),
    ("vss_unheard_of_status", "TELEPORTED", "TELEPORTED", 9, 30, None, 1),
    ("vss_numbers_as_strings", "ERROR", "ERROR", 9, 30, -2005, 1),
    ("vss_no_details", "FAILED", "FAILED", None, None, None, 0),
    ("vss_two_legs", "COMPLETED", "COMPLETED", 9, 30, None, 2),
    ("vss_inbound", "COMPLETED", "COMPLETED", 9, 30, None, 1),
]


@pytest.mark.parametrize(("name", "status", "raw", "connected", "duration", "error_code", "legs"), SUMMARIES)
def test_a_session_summary_is_understood(name, status, raw, connected, duration, error_code, legs):
    summary = read(name)

    assert isinstance(summary, SessionSummary)
    assert summary.session_id == f"session-{name.removeprefix('vss_')}"
    assert summary.subaccount_id == "demo_bank"
    assert (summary.session_status, summary.raw_status) == (status, raw)
    assert summary.connected_at == (None if connected is None else at(connected))
    assert (summary.duration_s, summary.error_code, len(summary.legs)) == (duration, error_code, legs)


@pytest.mark.parametrize("name", [row[0] for row in SUMMARIES if row[6] and row[0] != "vss_inbound"])
def test_a_summary_of_our_call_names_caller_id_and_phone(name):
    summary = read(name)

    assert (summary.source, summary.destination) == (CALLER_ID, PHONE)
    assert not summary.is_inbound


def test_a_summary_of_a_call_back_to_the_caller_id_is_inbound():
    summary = read("vss_inbound")

    assert summary.is_inbound
    assert (summary.source, summary.destination) == (PHONE, CALLER_ID)


def test_the_echo_of_our_request_id_is_read_when_there_is_one():
    assert read("vss_completed").client_request_id == "att_one"
    assert read("vss_busy").client_request_id is None


def test_an_answered_leg_is_read_whole():
    assert read("vss_completed").legs == (
        Leg(
            call_id="leg-1",
            direction="OUTBOUND",
            initiated_at=at(0),
            connected_at=at(9),
            disconnected_at=at(40),
            source=CALLER_ID,
            destination=PHONE,
            source_country="SG",
            destination_country="SG",
            call_status="COMPLETED",
            raw_status="COMPLETED",
            duration_s=30,
            mos=4.3,
            packet_loss_rate=0.002,
            jitter_ms=11,
        ),
    )


def test_numbers_sent_as_strings_read_the_same():
    (leg,) = read("vss_numbers_as_strings").legs

    assert (leg.duration_s, leg.mos, leg.packet_loss_rate, leg.jitter_ms) == (30, 4.3, 0.002, 11)


def test_the_first_leg_comes_first_whatever_the_order():
    assert [leg.call_id for leg in read("vss_two_legs").legs] == ["leg-1", "leg-2"]


def test_an_error_keeps_its_message():
    assert read("vss_error_capacity").error_message == "trunk capacity exceeded"


# name, dtmf, client_action_id
CALL_ACTIONS = [
    ("vca_key_pressed", "7", None),
    ("vca_no_key", None, None),
    ("vca_key_as_string", "7", None),
    ("vca_event_data_null", None, "end"),
    ("vca_event_data_absent", None, None),
    ("vca_inbound", None, None),
]


@pytest.mark.parametrize(("name", "dtmf", "client_action_id"), CALL_ACTIONS)
def test_a_call_action_is_understood(name, dtmf, client_action_id):
    event = read(name)

    assert isinstance(event, CallAction)
    assert event.event_id == f"event-{name.removeprefix('vca_')}"
    assert event.session_id == f"session-{name.removeprefix('vca_')}"
    assert (event.call_id, event.subaccount_id) == ("leg-1", "demo_bank")
    assert (event.dtmf, event.client_action_id) == (dtmf, client_action_id)
    assert event.at == at(30, 125000)
    assert event.is_inbound == (name == "vca_inbound")


def test_a_call_action_may_lack_its_destination():
    assert read("vca_event_data_absent").destination is None
    assert read("vca_key_pressed").destination == PHONE


OTHERS = [
    ("vcs_dtmf_received", "CALL_STATUS"),
    ("vru", "CALL_RECORDING_STATUS"),
    ("vnu", "VIRTUAL_NUMBER_UPDATE"),
    ("unheard_of_event", "CALL_TRANSCRIPT"),
]


@pytest.mark.parametrize(("name", "kind"), OTHERS)
def test_any_other_event_is_known_by_its_kind(name, kind):
    assert read(name) == OtherEvent(kind)


@pytest.mark.parametrize("name", [row[0] for row in SUMMARIES + CALL_ACTIONS])
def test_the_order_of_keys_does_not_matter(name):
    def turned(value):
        return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    sample = json.loads((SAMPLES / f"{name}.json").read_bytes())

    assert parse(json.dumps(turned(sample)).encode()) == read(name)
