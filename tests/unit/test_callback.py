import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.callback import CallbackEvent, body, headers, new_secret

NOW = datetime(2027, 3, 1, 10, 0, 0, 250000, tzinfo=UTC)
OLD, NEW = new_secret(b"o" * 24), new_secret(b"n" * 32)


def an_event(**members):
    defaults = {
        "type": "message.delivered",
        "timestamp": NOW,
        "sequence": 42,
        "id": "msg_1",
        "message_id": "OTP789",
        "message_type": "otp",
        "status": "delivered",
        "reason": None,
        "retryable": False,
        "party": None,
        "destination": "+6581234567",
        "attempts": 1,
        "session_id": "session-1",
        "answered_at": NOW - timedelta(seconds=40),
        "ended_at": NOW - timedelta(seconds=10),
        "duration_s": 30,
        "heard": "full",
        "key_pressed": None,
        "mos": 4.4,
        "metadata": {"order": "7 \u20ac"},
    }
    return CallbackEvent(**defaults | members)


# --- the body


def test_the_body_has_every_member_in_the_promised_order():
    assert body(an_event()) == (
        b'{"type":"message.delivered","timestamp":"2027-03-01T10:00:00.250Z","sequence":42,"data":{"id":"msg_1",'
        b'"messageId":"OTP789","type":"otp","status":"delivered","reason":null,"retryable":false,"party":null,'
        b'"to":"+65****4567","attempts":1,"sessionId":"session-1","answeredAt":"2027-03-01T09:59:20.250Z",'
        b'"endedAt":"2027-03-01T09:59:50.250Z","durationSeconds":30,"heard":"full","keyPressed":null,'
        b'"quality":{"mos":4.4},"metadata":{"order":"7 \\u20ac"}}}'
    )


def test_what_is_not_known_is_null_and_never_missing():
    unknown = ("session_id", "answered_at", "ended_at", "duration_s", "heard", "mos")

    data = json.loads(body(an_event(**dict.fromkeys(unknown), metadata={})))["data"]

    assert list(data) == list(json.loads(body(an_event()))["data"])
    assert [data[name] for name in ("sessionId", "answeredAt", "endedAt", "durationSeconds", "heard")] == [None] * 5
    assert data["quality"] == {"mos": None}
    assert data["metadata"] == {}


@pytest.mark.parametrize("destination", ["+6581234567", "+65****4567"])
def test_only_the_masked_number_is_written(destination):
    assert b'"to":"+65****4567"' in body(an_event(destination=destination))


def test_an_event_shows_neither_number_nor_metadata_in_its_repr():
    assert "8123" not in repr(an_event())
    assert "order" not in repr(an_event())


def test_a_number_that_json_has_no_word_for_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        body(an_event(mos=float("nan")))


# --- the signature


def now():
    return datetime.now(UTC)


def test_a_receiver_can_verify_the_callback_with_the_public_library():
    raw = body(an_event())

    sent = headers("cb_1", raw, secrets=[NEW], at=now())

    assert Webhook(NEW).verify(raw, sent) == json.loads(raw)


def test_during_a_rotation_either_secret_verifies():
    raw = body(an_event())

    sent = headers("cb_1", raw, secrets=[NEW, OLD], at=now())

    new, old = sent["webhook-signature"].split(" ")
    assert new != old
    for secret, signature in ((NEW, new), (OLD, old)):
        assert Webhook(secret).verify(raw, sent)
        assert Webhook(secret).verify(raw, sent | {"webhook-signature": signature})


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp"])
def test_a_changed_callback_does_not_verify(part):
    raw = body(an_event())
    sent = headers("cb_1", raw, secrets=[NEW], at=now())
    forged = {
        "body": b'{"type":"forged"}',
        "webhook-id": "cb_2",
        "webhook-timestamp": str(int(sent["webhook-timestamp"]) - 60),
    }[part]

    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(NEW).verify(*((forged, sent) if part == "body" else (raw, sent | {part: forged})))


def test_another_secret_does_not_verify():
    raw = body(an_event())

    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(OLD).verify(raw, headers("cb_1", raw, secrets=[NEW], at=now()))


def test_the_headers_are_those_of_standard_webhooks():
    sent = headers("cb_1", b"{}", secrets=[NEW], at=NOW)

    signature = sent.pop("webhook-signature")
    assert signature.startswith("v1,")
    assert sent == {
        "content-type": "application/json",
        "user-agent": "Ringpost/1",
        "webhook-id": "cb_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
    }


def test_the_time_zone_of_the_clock_does_not_matter():
    singapore = NOW.astimezone(timezone(timedelta(hours=8)))

    assert headers("cb_1", b"{}", secrets=[NEW], at=singapore) == headers("cb_1", b"{}", secrets=[NEW], at=NOW)


def test_a_later_attempt_keeps_the_id_and_signs_its_own_time():
    first = headers("cb_1", b"{}", secrets=[NEW], at=NOW)
    second = headers("cb_1", b"{}", secrets=[NEW], at=NOW + timedelta(seconds=5))

    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("secrets", "at"),
    [([], NOW), ([NEW], NOW.replace(tzinfo=None)), (["whsec_"], NOW), (["whsec_a"], NOW)],
)
def test_nothing_is_sent_unsigned_or_at_an_unclear_time(secrets, at):
    with pytest.raises(ValueError, match=r"secret|time zone"):
        headers("cb_1", b"{}", secrets=secrets, at=at)


def test_a_secret_is_base64_behind_its_prefix():
    assert new_secret(b"\x00" * 24) == "whsec_" + "A" * 32


@pytest.mark.parametrize("size", [0, 23, 65])
def test_a_secret_too_short_or_too_long_is_refused(size):
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        new_secret(b"x" * size)
