"""8x8's refusals: one case for each code, and the order in which they are looked for."""

import json
from datetime import UTC, datetime

import pytest

from deploy.simulator.codes import REFUSALS, Refusal
from deploy.simulator.validation import Callflow, Rules, check_reply, check_request

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
RULES = Rules(caller_ids=frozenset({"+6531580001"}))
HANG_UP = {"action": "hangup"}


def call(**params):
    return {"action": "makeCall", "params": {"source": "+6531580001", "destination": "+6581234567"} | params}


def say(**params):
    return {"action": "say", "params": {"text": "4, 0, 7", "voiceProfile": "en-US-BenjaminRUS"} | params}


def capture(**params):
    spoken = {"promptMessage": "4, 0, 7", "voiceProfile": "en-US-BenjaminRUS"}
    return {"action": "sayAndCapture", "params": spoken | params}


def check(*actions, rules=RULES, **members):
    body = {"callflow": list(actions)} | members
    return check_request(json.dumps(body).encode(), rules, now=NOON)


def code_of(result):
    return result.code if isinstance(result, Refusal) else 1


@pytest.mark.parametrize(
    ("actions", "code"),
    [
        ([call(), say(voiceProfile="en-US-Nobody"), HANG_UP], -1002),
        ([call(), capture(minDigits=1)], -1003),
        ([call(), capture(digitTimeout=2000)], -1005),
        ([call(), capture(digitTimeout=2000, overallTimeout=2000)], -1006),
        ([call(), {"action": "sing", "params": {}}], -1007),
        ([call(), capture(completeOnHash=False)], -1008),
        ([call(), say(text="")], -1009),
        ([call(), call(), call(), HANG_UP], -1010),
        ([call(destination=["+6581234567", "+6581234568"]), HANG_UP], -1011),
        ([call(destination="+6581234567,+6581234568"), HANG_UP], -1011),
        ([call(), HANG_UP, say()], -1012),
        ([say(), HANG_UP], -1013),
        ([call(source="+6531580002"), HANG_UP], -1014),
        ([call(), say(text="<b>4</b>"), HANG_UP], -1016),
        ([call(), say(text="code 😀"), HANG_UP], -1016),
        ([call(), say(text="code \x07"), HANG_UP], -1016),
        ([call(destination="12"), HANG_UP], -1017),
        ([call(destination="+9991234567"), HANG_UP], -1017),
    ],
)
def test_a_broken_rule_is_refused_with_its_code(actions, code):
    result = check(*actions)

    assert code_of(result) == code


def test_a_validity_that_is_over_is_refused():
    result = check(call(), say(), HANG_UP, validUntil="2026-10-05T12:00:00Z")

    assert code_of(result) == -1015


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(raw):
    result = check_request(raw, RULES, now=NOON)

    assert code_of(result) == -1001


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "$:"),
        ({}, "$.callflow:"),
        ({"callflow": []}, "$.callflow:"),
        ({"callflow": ["hangup"]}, "$.callflow[0]:"),
        ({"callflow": [{}]}, "$.callflow[0].action:"),
        ({"callflow": [{"action": "makeCall"}]}, "$.callflow[0].params:"),
        ({"callflow": [call(source="")]}, "$.callflow[0].params.source:"),
        ({"callflow": [call(source="+65", extra=1)]}, "$.callflow[0].params: has too many"),
        (
            {"callflow": [call(), {"action": "say", "params": {"text": "x"}}]},
            "$.callflow[1].params.voiceProfile:",
        ),
        ({"callflow": [call(), say(text="x" * 3001)]}, "$.callflow[1].params.text:"),
        ({"callflow": [call(), say(repetition=4)]}, "$.callflow[1].params.repetition:"),
        ({"callflow": [call(), say(repetition=True)]}, "$.callflow[1].params.repetition:"),
        ({"callflow": [call(), say(speed=2.1)]}, "$.callflow[1].params.speed:"),
        ({"callflow": [call(), say(a=1, b=2, c=3, d=4)]}, "$.callflow[1].params: has too many"),
        ({"callflow": [call(), capture(maxDigits=26)]}, "$.callflow[1].params.maxDigits:"),
        ({"callflow": [call(), capture(completeOnHash="no")]}, "$.callflow[1].params.completeOnHash:"),
        (
            {"callflow": [call(), {"action": "playFile", "params": {"fileUrl": "x"}}]},
            "$.callflow[1].params.fileUrl:",
        ),
        ({"callflow": [call(), HANG_UP], "clientRequestId": "x" * 51}, "$.clientRequestId:"),
        ({"callflow": [call(), HANG_UP], "clientBatchId": 7}, "$.clientBatchId:"),
        ({"callflow": [call(), HANG_UP], "validUntil": "tomorrow"}, "$.validUntil:"),
        ({"callflow": [call(), HANG_UP], "validUntil": "2026-10-05T12:00:00"}, "$.validUntil:"),
    ],
)
def test_a_malformed_entry_is_refused_with_its_path(body, path):
    result = check_request(json.dumps(body).encode(), RULES, now=NOON)

    assert code_of(result) == -1009
    assert result.message.startswith(path)


def test_rules_are_looked_at_in_the_documented_order():
    """Each request breaks all later rules as well; the last one breaks only the last."""
    wrong = {"source": "+1", "destination": "1"}
    bad_speech = {"text": "<", "voiceProfile": "x"}
    over = {"validUntil": "2020-01-01T00:00:00Z"}
    entries = [
        ([{"action": "sing"}, {"action": "say"}], over),
        ([{"action": "sing"}, say(**bad_speech)], over),
        ([say(**bad_speech), HANG_UP, call(), call(), call()], over),
        ([call(**wrong), HANG_UP, call(), call()], over),
        ([call(**wrong), HANG_UP, capture(minDigits=1)], over),
        ([call(**wrong), capture(minDigits=1, promptMessage="<")], over),
        ([call(**wrong), say(**bad_speech)], over),
        ([call(source="+1"), say(**bad_speech)], over),
        ([call(), say(**bad_speech)], over),
        ([call(), say(text="<")], over),
        ([call(), say()], over),
    ]

    codes = [code_of(check(*actions, **members)) for actions, members in entries]

    assert codes == [-1009, -1007, -1013, -1010, -1012, -1003, -1017, -1014, -1002, -1016, -1015]


def test_an_accepted_request_gives_numbers_with_plus_and_the_actions_after_the_dial():
    result = check(
        call(source="6531580001", destination="6581234567"),
        say(repetition=3, speed=0.5),
        HANG_UP,
        clientRequestId="att_1",
        validUntil="2026-10-05T12:00:00.001Z",
        unheardOf=True,
    )

    assert isinstance(result, Callflow)
    assert (result.source, result.destination) == ("+6531580001", "+6581234567")
    assert [action["action"] for action in result.actions] == ["say", "hangup"]
    assert result.client_request_id == "att_1"
    assert result.valid_until_text == "2026-10-05T12:00:00.001Z"


@pytest.mark.parametrize("text", ["Ihr Code: 4, 0", "您的验证码是 4", "رمزك هو 4", "आपका कोड 4", "line\none\ttab"])
def test_texts_of_every_language_are_spoken(text):
    assert isinstance(check(call(), say(text=text), HANG_UP), Callflow)


def test_validation_off_refuses_only_what_cannot_be_played():
    lenient = Rules(caller_ids=frozenset(), is_strict=False)

    accepted = check(call(source="Acme", destination="12"), say(voiceProfile="x", text="<"), rules=lenient)
    refused = check(say(), rules=lenient)

    assert isinstance(accepted, Callflow)
    assert code_of(refused) == -1013


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"status": "ok"}',
        b'{"callflow": []}',
        b'{"callflow": [{"action": "say"}]}',
        b'{"callflow": [{"action": "hangup"}, {"action": "hangup"}]}',
        b'{"callflow": [{"action": "Hangup"}]}',
    ],
)
def test_a_reply_to_a_call_action_that_is_no_callflow_is_refused(raw):
    assert isinstance(check_reply(raw), Refusal)


@pytest.mark.parametrize("actions", [[HANG_UP], [{"action": "hangup", "params": {}}], [say(), HANG_UP], [capture()]])
def test_a_reply_to_a_call_action_need_not_begin_with_a_dial(actions):
    assert check_reply(json.dumps({"clientActionId": "end", "callflow": actions}).encode()) == actions


@pytest.mark.parametrize(
    ("code", "status"),
    [(-1001, 400), (-1007, 400), (-1009, 400), (-1013, 422), (-1014, 422), (-1, 422), (401, 401)],
)
def test_a_code_decides_the_http_status(code, status):
    assert Refusal.of(code).http_status == status


def test_every_code_has_a_text():
    assert all(Refusal.of(code).message for code in REFUSALS)
