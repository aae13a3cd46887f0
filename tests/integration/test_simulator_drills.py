"""What the simulator gets wrong on request: replies and webhooks, one knob at a time."""

from datetime import timedelta

import pytest
import requests

from tests.integration.simulator_stage import ASK, NUMBER, stages


@pytest.fixture
def stage():
    with stages() as build:
        yield build


def test_a_summary_can_come_before_the_reply(stage):
    stage = stage(time_scale=1)
    stage.simulator.set_fault("vss_before_reply")

    session_id = stage.dial().json()["sessionId"]
    received = stage.receiver.received  # no waiting: it is here already

    assert [one.json()["payload"]["sessionId"] for one in received] == [session_id]


@pytest.mark.parametrize("knob", ["reply_lost", "cut_body"])
def test_a_reply_can_be_lost_although_the_phone_rings(stage, knob):
    stage = stage()
    stage.simulator.set_fault(knob)

    with pytest.raises(requests.RequestException):
        stage.dial(clientRequestId="att_1")

    assert stage.summary()["clientRequestId"] == "att_1"
    assert stage.simulator.ledger.summary()["accepted"] == 1


def test_a_reply_can_never_come_although_the_phone_rings(stage):
    stage = stage()
    stage.simulator.set_fault("reply_never")

    with pytest.raises(requests.ReadTimeout):
        stage.dial(timeout=0.2)

    assert stage.summary()["sessionStatus"] == "COMPLETED"


def test_a_connection_can_be_reset_without_a_session(stage):
    stage = stage()
    stage.simulator.set_fault("reply_lost", created=False)

    with pytest.raises(requests.ConnectionError):
        stage.dial()

    assert stage.simulator.ledger.summary()["accepted"] == 0
    assert stage.simulator.ledger.summary()["refused"] == {"reply_lost": 1}


def test_a_slow_reply_still_comes(stage):
    stage = stage()
    stage.simulator.set_fault("slow_reply", seconds=0.2)

    reply = stage.dial()

    assert reply.elapsed >= timedelta(seconds=0.2)
    assert reply.json()["sessionStatus"] == "CREATED"


@pytest.mark.parametrize(
    ("knob", "options", "status", "code", "counted"),
    [
        ("refused", {"code": -1014}, 422, -1014, "-1014"),
        ("refused", {"code": 403}, 403, 403, "403"),
        ("refused", {"code": 404}, 404, 404, "404"),
        ("refused", {"code": -4711}, 422, -4711, "-4711"),
        ("rate_limited", {}, 429, 429, "429"),
        ("error_not_created", {}, 500, 500, "500"),
        ("ok_not_created", {}, 200, -9999, "-9999"),
        ("ok_without_session_id", {}, 200, 1, "ok_without_session_id"),
    ],
)
def test_a_knob_answers_without_a_session(stage, knob, options, status, code, counted):
    stage = stage()
    stage.simulator.set_fault(knob, count=1, **options)

    reply, next_reply = stage.dial(), stage.dial()

    assert (reply.status_code, reply.json()["statusCode"]) == (status, code)
    assert "sessionId" not in reply.json()
    assert next_reply.json()["sessionStatus"] == "CREATED"
    assert stage.simulator.ledger.summary()["refused"] == {counted: 1}


def test_throttling_names_its_seconds_only_when_told(stage):
    stage = stage()
    stage.simulator.set_fault("rate_limited", destination=NUMBER, retry_after_s=2)
    stage.simulator.set_fault("rate_limited")

    timed, plain = stage.dial(), stage.dial(destination="+6581234568")

    assert timed.headers["Retry-After"] == "2"
    assert "Retry-After" not in plain.headers


@pytest.mark.parametrize(
    ("knob", "status", "start"),
    [("error_empty", 500, b""), ("bad_gateway_html", 502, b"<html>"), ("garbage_body", 200, b"\x00\xff")],
)
def test_a_knob_answers_with_something_that_is_not_json(stage, knob, status, start):
    stage = stage()
    stage.simulator.set_fault(knob)

    reply = stage.dial()

    assert reply.status_code == status
    assert reply.content.startswith(start)
    with pytest.raises(requests.JSONDecodeError):
        reply.json()


def test_a_summary_can_come_several_times(stage):
    stage = stage()
    stage.simulator.set_fault("vss_duplicated", copies=3)

    stage.dial()

    assert len({one.body for one in stage.webhooks("/vss", count=3)}) == 1


def test_a_summary_can_be_dropped_or_late(stage):
    stage = stage()
    stage.simulator.set_fault("vss_dropped", destination="+6581234568")
    stage.simulator.set_fault("vss_delayed", destination=NUMBER, seconds=0.3)

    dropped, late = (stage.dial(destination=number) for number in ("+6581234568", NUMBER))
    received = stage.webhooks("/vss")

    assert [one.json()["payload"]["sessionId"] for one in received] == [late.json()["sessionId"]]
    assert dropped.json()["sessionStatus"] == "CREATED"


@pytest.mark.parametrize(
    ("knob", "read", "expected"),
    [
        ("vss_old_casing", lambda payload: payload["sessionStatus"], "NO ANSWER"),
        ("vss_without_echo", lambda payload: payload.get("clientRequestId"), None),
        ("vss_unknown_status", lambda payload: payload["sessionStatus"], "REROUTED"),
    ],
)
def test_a_summary_can_drift(stage, knob, read, expected):
    stage = stage()
    stage.simulator.set_fault(knob)

    stage.dial(destination="+6581230002", clientRequestId="att_1")

    assert read(stage.summary()) == expected


@pytest.mark.parametrize(
    ("knob", "expected"),
    [("vca_string_event_data", "5"), ("vca_null_event_data", None), ("vca_no_event_data", "absent")],
)
def test_event_data_can_drift(stage, knob, expected):
    stage = stage()
    stage.simulator.set_fault(knob)

    stage.dial(ASK, destination="+6581230008")

    assert stage.webhooks("/vca")[0].json()["payload"].get("eventData", "absent") == expected
