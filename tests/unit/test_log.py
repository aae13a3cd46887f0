"""Logs: one shape for our events and the libraries', and no number that could be a phone's."""

import json
import logging
import sys
import threading

import pytest
import structlog

from shared import log as logs


@pytest.fixture
def lines(capsys):
    """Configures logging, and reads what was logged since."""

    def read():
        return capsys.readouterr().err.splitlines()

    return read


def test_an_event_is_one_line_of_json(lines):
    logs.configure("json", "INFO")

    structlog.get_logger().info("call_placed", message_id="msg_1", attempts=2)

    (line,) = lines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "call_placed", "level": "info", "message_id": "msg_1", "attempts": 2}


def test_a_library_s_record_has_the_same_shape(lines):
    logs.configure("json", "INFO")

    logging.getLogger("dramatiq.worker").warning("Restarting consumer in %0.2f seconds.", 3)

    (line,) = lines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "Restarting consumer in 3.00 seconds.", "level": "warning", "logger": "dramatiq.worker"}


def test_each_line_bears_the_ids_of_what_is_at_hand_and_those_that_it_names_itself(lines):
    ids = {"request_id": "req_1", "session_id": "6591234567"}
    logs.configure("json", "INFO", lambda: ids)

    structlog.get_logger().info("event_not_kept", request_id="req_2")
    logging.getLogger("library").warning("Oh")
    ids.clear()
    structlog.get_logger().info("spool_replayed")

    shown = [json.loads(line) for line in lines()]
    assert [line.get("request_id") for line in shown] == ["req_2", "req_1", None]
    assert [line.get("session_id") for line in shown] == ["****", "****", None]


def test_text_is_for_people(lines):
    logs.configure("text", "INFO")

    structlog.get_logger().warning("redis_away", queue="place_calls.otp")
    logging.getLogger("dramatiq").error("Oh")

    first, second = lines()
    assert "redis_away" in first
    assert "queue=place_calls.otp" in first
    assert "Oh" in second


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_exception_is_logged_with_its_traceback_and_without_warnings(lines, log_format):
    logs.configure(log_format, "INFO")

    try:
        int("no call to 6591234567")
    except ValueError:
        structlog.get_logger().exception("group_commit_failed")

    told = "\n".join(lines())
    assert "Traceback" in told
    assert "no call to ****" in told


@pytest.mark.parametrize("name", ["INFO", "WARNING", "ERROR"])
def test_less_than_the_level_is_left_out(lines, name):
    logs.configure("json", name)

    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")

    shown = [json.loads(line)["level"].upper() for line in lines()]
    assert shown == ["INFO", "WARNING", "ERROR"][["INFO", "WARNING", "ERROR"].index(name) :]


def test_the_chatter_of_libraries_is_left_out_even_when_ours_is_wanted(lines):
    logs.configure("json", "DEBUG")

    logging.getLogger("urllib3").info("Starting new HTTP connection")

    assert lines() == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("+6591234567", "****"),
        ("6591234567", "****"),
        ("call +6591234567 failed", "call **** failed"),
        ('{"destination":6591234567}', '{"destination":****}'),
        ("to:+6591234567,", "to:****,"),
        ("+65 9123-4567 did not answer", "**** did not answer"),
        ("tel:x+6591234567", "tel:x****"),
        ("Authorization: Basic YWRtaW46c2VjcmV0", "Authorization: Basic ****"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ****'}"),
        ("sent authorization=rps_secret, and more", "sent authorization=****, and more"),
        ("('authorization', b'Basic Zm9vOmJhcg==')", "('authorization', b'Basic ****')"),
        ("used bearer 0f3d9a1c7b", "used bearer ****"),
        ("basic facts", "basic facts"),
        ("+65****4567", "+65****4567"),  # masked already
        ("msg_01890a5d1234567890", "msg_01890a5d1234567890"),
        ("0.1234567890", "0.1234567890"),
        ("123456", "123456"),  # too short to be a number
        ("2026-10-05T09:12:10.000Z", "2026-10-05T09:12:10.000Z"),
        ("1f0a1b2c-0000-4000-8000-123456789012", "1f0a1b2c-0000-4000-8000-123456789012"),
        ("12345678-0000-4000-8000-123456789012", "12345678-0000-4000-8000-123456789012"),
        ("65912345-6700", "****-6700"),
    ],
)
def test_what_may_be_a_phone_number_is_masked(lines, said, shown):
    logs.configure("json", "INFO")

    structlog.get_logger().info("anything", said=said)
    logging.getLogger("library").warning("%s", said)

    ours, theirs = map(json.loads, lines())
    assert ours["said"] == shown
    assert theirs["event"] == shown


def test_what_lies_deep_in_a_value_is_masked_too(lines):
    logs.configure("json", "INFO")

    structlog.get_logger().info("anything", said={"to": ["+6591234567", b"+6591234567"], "number": 6591234567, "n": 7})

    (line,) = lines()
    assert json.loads(line)["said"] == {"to": ["****", "b'****'"], "number": "****", "n": 7}


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_nobody_caught_is_told_masked_and_without_what_variables_held(lines, log_format):
    logs.configure(log_format, "INFO")

    def fail():
        text = "NEVER-TOLD".lower()
        raise ValueError(f"no call to +6591234567 {len(text)}")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError:
        sys.excepthook(*sys.exc_info())

    told = "\n".join(lines())
    assert told.count("ValueError: no call to ****") == 2
    assert "never-told" not in told
