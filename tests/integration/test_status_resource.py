"""GET /v1/messages: one message's story, as its provider reads it."""

import pytest

from shared.db.queries import moves
from shared.lifecycle import Event, Move
from tests.integration.ingress_stage import CALLBACK_URL, call, is_problem, staged


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


def read(stage, path):
    return stage.http.get(path, headers=stage.customer.headers)


def test_a_message_is_read_by_our_id_and_by_the_providers(stage):
    data = stage.make_call(call()).get_json()["data"]

    by_id, by_reference = (
        read(stage, path) for path in (data["links"]["self"], f"/v1/messages?messageId={data['messageId']}")
    )

    assert (by_id.status_code, by_id.content_type) == (200, "application/json")
    assert by_id.get_json() == by_reference.get_json()


def test_a_new_message_shows_all_but_text_and_number(stage):
    body = call(message="Your secret is {code}", code="471", metadata={"order": "7"}, repetition=5, speed=1.5)
    data = stage.make_call(body).get_json()["data"]

    reply = read(stage, data["links"]["self"])

    story = reply.get_json()
    asked = {
        "id": data["id"],
        "messageId": body["messageId"],
        "type": "otp",
        "mode": "live",
        "status": "queued",
        "reason": None,
        "retryable": False,
        "party": None,
        "to": "+65****4567",
        "country": "SG",
        "from": "+6531580001",
        "voice": "en-US-BenjaminRUS",
        "speed": 1.5,
        "repetition": 3,
        "interruptible": False,
        "sessionId": None,
        "scheduledAt": None,
        "expiresAt": data["expiresAt"],
        "finishedAt": None,
        "metadata": {"order": "7"},
        "warnings": data["warnings"],
        "links": data["links"],
        "nextDialAt": None,
        "attempts": [],
        "callbacks": [],
    }
    assert story == asked | {"createdAt": story["createdAt"], "events": story["events"]}
    assert [event["type"] for event in story["events"]] == ["message.accepted"]
    assert not any(secret in reply.text for secret in ("secret", "471,", "4, 7", "81234567"))


def test_a_finished_message_shows_its_events_and_callbacks(stage):
    data = stage.make_call(call()).get_json()["data"]
    stage.services.database.run(
        lambda c: moves.apply(c, [Move(data["id"], Event.DEADLINE_PASSED, reason="deadline_passed")])
    )

    story = read(stage, data["links"]["self"]).get_json()

    assert (story["status"], story["reason"], story["party"]) == ("expired", "deadline_passed", "service")
    assert story["retryable"] is True
    assert story["finishedAt"]
    assert [event["type"] for event in story["events"]] == ["message.accepted", "message.expired"]
    assert [(one["url"], one["state"]) for one in story["callbacks"]] == [(CALLBACK_URL, "due")]


@pytest.mark.parametrize("message_id", ["a b", "ü/%", "a&b=c", "+65", "line\nbreak", "\u200d", "x" * 128])
def test_any_id_that_was_taken_can_be_asked_for(stage, message_id):
    stage.make_call(call(messageId=message_id))

    reply = stage.http.get("/v1/messages", query_string={"messageId": message_id}, headers=stage.customer.headers)

    assert (reply.status_code, reply.get_json()["messageId"]) == (200, message_id)


def test_an_id_that_nobody_has_is_not_found(stage):
    assert is_problem(read(stage, "/v1/messages/msg_" + "0" * 26), 404, "not_found")
    assert is_problem(read(stage, "/v1/messages?messageId=nobodys"), 404, "not_found")
