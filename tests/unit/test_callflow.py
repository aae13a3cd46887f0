import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.voice_api.callflow import HANG_UP_REPLY, OutboundCall, Speech, build, hang_up_reply, valid_until

NOW = datetime(2027, 3, 1, 10, tzinfo=UTC)
TEXT = "Your code is 4, 0, 7, 1."


def a_speech(**members):
    return Speech(**{"text": TEXT, "voice": "en-US-BenjaminRUS", "speed": 1, "plays": 2} | members)


def a_call(**members):
    defaults = {
        "source": "+6569990001",
        "destination": "+6588887777",
        "speech": a_speech(),
        "valid_until": NOW,
        "client_request_id": "att_one",
    }
    return OutboundCall(**defaults | members)


def body(**members):
    return json.loads(build(a_call(**members)))


def test_a_plain_call_dials_speaks_and_hangs_up():
    assert body() == {
        "validUntil": "2027-03-01T10:00:00.000Z",
        "clientRequestId": "att_one",
        "callflow": [
            {"action": "makeCall", "params": {"source": "+6569990001", "destination": "+6588887777"}},
            {
                "action": "say",
                "params": {"text": TEXT, "voiceProfile": "en-US-BenjaminRUS", "repetition": 2, "speed": 1},
            },
            {"action": "hangup"},
        ],
    }


def test_an_interruptible_call_asks_for_a_key_and_leaves_the_hangup_to_the_vca_reply():
    assert body(interruptible=True)["callflow"] == [
        {"action": "makeCall", "params": {"source": "+6569990001", "destination": "+6588887777"}},
        {
            "action": "sayAndCapture",
            "params": {
                "promptMessage": TEXT,
                "voiceProfile": "en-US-BenjaminRUS",
                "speed": 1,
                "noOfTries": 2,
                "minDigits": 1,
                "maxDigits": 1,
                "completeOnHash": False,
                "digitTimeout": 2000,
                "overallTimeout": 3000,
            },
        },
    ]


def test_numbers_are_sent_with_a_plus():
    params = body(source="6569990001", destination="6588887777")["callflow"][0]["params"]

    assert params == {"source": "+6569990001", "destination": "+6588887777"}


def test_the_request_id_can_be_left_out():
    assert "clientRequestId" not in body(client_request_id=None)


def test_a_request_id_longer_than_8x8_takes_is_refused():
    a_call(client_request_id="x" * 50)

    with pytest.raises(ValueError, match="client_request_id"):
        a_call(client_request_id="x" * 51)


@pytest.mark.parametrize(
    ("speed", "sent"),
    [(1, "1"), (1.0, "1"), (2.0, "2"), (0.5, "0.5"), (1.3, "1.3"), (1.26, "1.3"), (0.96, "1")],
)
def test_a_speed_is_sent_as_an_integer_when_whole_else_with_one_decimal(speed, sent):
    assert f'"speed":{sent}'.encode() + b"}" in build(a_call(speech=a_speech(speed=speed)))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("text", ""),
        ("text", "x" * 3001),
        ("speed", 0.4),
        ("speed", 2.1),
        ("speed", float("nan")),
        ("plays", 0),
        ("plays", 4),
    ],
)
def test_a_speech_outside_8x8s_limits_is_refused_by_name(member, value):
    with pytest.raises(ValueError, match=f"^{member}: ") as refusal:
        a_speech(**{member: value})

    assert "xxx" not in str(refusal.value)


def test_text_of_any_script_arrives_unchanged():
    text = 'Ihr Code: "٤", 您的验证码, \U0001f600'

    assert body(speech=a_speech(text=text))["callflow"][1]["params"]["text"] == text


def test_neither_text_nor_phone_shows_in_a_repr():
    assert TEXT not in repr(a_call())
    assert "8888" not in repr(a_call())


@pytest.mark.parametrize(("lifetime_s", "validity_s"), [(30, 30), (90, 90), (3600, 90)])
def test_8x8_may_start_dialling_until_the_deadline_but_90_seconds_at_most(lifetime_s, validity_s):
    assert valid_until(NOW, NOW + timedelta(seconds=lifetime_s)) == NOW + timedelta(seconds=validity_s)


def test_the_ceiling_can_be_set():
    assert valid_until(NOW, NOW + timedelta(hours=1), ceiling_s=20) == NOW + timedelta(seconds=20)


def test_the_reply_to_a_vca_event_hangs_up():
    assert json.loads(HANG_UP_REPLY) == {"clientActionId": "end", "callflow": [{"action": "hangup"}]}
    assert hang_up_reply() == HANG_UP_REPLY


def test_the_reply_to_a_vca_event_can_echo_its_action_id():
    assert json.loads(hang_up_reply('a"b'))["clientActionId"] == 'a"b'
