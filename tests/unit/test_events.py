import copy
import dataclasses
import json
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.voice_api.events import (
    Malformed,
    OtherEvent,
    SessionSummary,
    glance,
    normalise_status,
    parse,
)

SAMPLES = {
    path.stem: json.loads(path.read_bytes())
    for path in sorted((Path(__file__).parents[1] / "contract" / "samples").glob("*.json"))
}
A_SUMMARY = SAMPLES["vss_completed"]
A_CALL_ACTION = SAMPLES["vca_key_pressed"]


def raw(body, **payload):
    """The body with payload members replaced, or left out when they are ``...``."""
    changed = copy.deepcopy(body)
    for name, value in payload.items():
        changed["payload"].pop(name, None)
        if value is not ...:
            changed["payload"][name] = value
    return json.dumps(changed).encode()


# --- what is no event


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"eventType": null, "payload": {}}',
        b'{"eventType": "SESSION_SUMMARY"}',
        b'{"eventType": "SESSION_SUMMARY", "payload": null}',
        b'{"eventType": "SESSION_SUMMARY", "payload": [1]}',
        b'{"eventType": "SESSION_SUMMARY", "payload": {"sessionId": "null"}}',
        b'{"eventType": "CALL_ACTION", "payload": {"sessionId": {"a": 1}}}',
        b'{"eventType": "CALL_ACTION", "payload": {"sessionId": "' + b"s" * 129 + b'"}}',
        b"\xff\xfe\x00",
        b"\x80\x81",
        b"<html>Bad gateway</html>",
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"eventType": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_event_is_malformed(body):
    assert isinstance(parse(body), Malformed)
    assert glance(body).dedupe_key.startswith("bad:")


def test_the_reason_repeats_nothing_of_the_body():
    event = parse(b'{"secret": "4071')

    assert event == Malformed("not a JSON object")


# --- tolerance


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_parsing_never_raises_on_bytes(body):
    glance(body)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["null", "", "26", "-2010", "1e999", "\x00", "\ud800", "2027-03-01T10:00:00", "0001-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(JSON_VALUES)
def test_parsing_never_raises_on_json(value):
    body = json.dumps(value).encode()

    glance(body)


def places(value, path=()):
    """Every path at which a JSON value has something."""
    yield path
    if isinstance(value, dict):
        for key, member in value.items():
            yield from places(member, (*path, key))


@st.composite
def mutated_samples(draw):
    body = copy.deepcopy(draw(st.sampled_from(list(SAMPLES.values()))))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from([path for path in places(body) if path]))
        target = body
        for key in parents:
            target = target[key]
        if draw(st.booleans()):
            target[last] = draw(JSON_VALUES)
        else:
            del target[last]
            if not body:
                break
    return json.dumps(body).encode()


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from texts_in(item)
    elif dataclasses.is_dataclass(value):
        for member in dataclasses.fields(value):
            yield from texts_in(getattr(value, member.name))


@settings(max_examples=200, deadline=None)
@given(mutated_samples())
def test_a_mutated_event_parses_to_texts_that_can_be_stored(body):
    event = parse(body)

    for text in texts_in(event):
        text.encode()
        assert "\x00" not in text
        assert len(text) <= 300
    if isinstance(event, SessionSummary):
        assert event.connected_at is None or event.connected_at.tzinfo is UTC
        assert event.duration_s is None or 0 <= event.duration_s < 2**31 or event.legs
        assert event.is_inbound in (True, False)
    assert len(glance(body).dedupe_key) <= 70


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_any_unicode_encoding_is_read(encoding):
    body = json.dumps(A_SUMMARY).encode(encoding)

    assert isinstance(parse(body), SessionSummary)


def test_keys_may_come_in_any_case():
    def shouting(value):
        return {key.upper(): shouting(member) for key, member in value.items()} if isinstance(value, dict) else value

    assert parse(json.dumps(shouting(A_SUMMARY)).encode()) == parse(json.dumps(A_SUMMARY).encode())
    assert parse(json.dumps(shouting(A_CALL_ACTION)).encode()) == parse(json.dumps(A_CALL_ACTION).encode())


@pytest.mark.parametrize("kind", ["SESSION_SUMMARY", "session_summary", " Session Summary "])
def test_the_event_type_decides_whatever_its_spelling(kind):
    assert isinstance(parse(json.dumps(A_SUMMARY | {"eventType": kind}).encode()), SessionSummary)


def test_an_unknown_event_type_is_another_event():
    assert parse(b'{"eventType": "CALL_STATUS", "payload": 5}') == OtherEvent("CALL_STATUS")


@pytest.mark.parametrize(
    ("spelling", "status"),
    [
        ("COMPLETED", "COMPLETED"),
        (" completed ", "COMPLETED"),
        ("NO ANSWER", "NO_ANSWER"),
        ("no-answer", "NO_ANSWER"),
        ("No  Answer", "NO_ANSWER"),
        ("CANCELLED", "CANCELED"),
        ("Canceled", "CANCELED"),
        ("NOT CREATED", "NOT_CREATED"),
        ("TELEPORTED", "TELEPORTED"),
        ("", ""),
    ],
)
def test_spellings_of_a_status_are_brought_together(spelling, status):
    assert normalise_status(spelling) == status


@given(st.text())
def test_a_normalised_status_is_its_own_normal_form(text):
    once = normalise_status(text)

    assert normalise_status(once) == once


# --- deduplication


def key_of(body):
    return glance(body).dedupe_key


def test_a_summary_sent_again_with_its_keys_in_another_order_is_the_same_fact():
    turned = {name: A_SUMMARY[name] for name in reversed(A_SUMMARY)}

    assert key_of(raw(turned)) == key_of(json.dumps(A_SUMMARY, indent=4).encode())


def test_a_second_and_different_summary_of_a_session_is_another_fact():
    assert key_of(raw(A_SUMMARY)) != key_of(raw(A_SUMMARY, sessionStatus="ERROR"))


def test_a_call_action_is_known_by_its_session_and_event_id():
    again = raw(A_CALL_ACTION, timestamp="2027-03-01T10:00:31.000Z")

    assert key_of(again) == key_of(raw(A_CALL_ACTION))
    assert key_of(raw(A_CALL_ACTION, eventId="other")) != key_of(raw(A_CALL_ACTION))
    assert key_of(raw(A_CALL_ACTION, sessionId="other")) != key_of(raw(A_CALL_ACTION))


def test_a_call_action_without_an_event_id_is_known_by_its_content():
    first, second = (raw(A_CALL_ACTION, eventId=..., eventData={"dtmf": key}) for key in "12")

    assert key_of(first) == key_of(first)
    assert key_of(first) != key_of(second)


def test_keys_of_different_kinds_never_meet():
    keys = [key_of(json.dumps(sample).encode()) for sample in SAMPLES.values()]

    assert len(set(keys)) == len(SAMPLES)
    assert {key.partition(":")[0] for key in keys} == {"vca", "vss", "other"}
