"""The v1 routes on one message: create it, take it back, have it explained."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.db.queries import moves
from shared.jobs import DELIVER_CALLBACKS
from shared.lifecycle import Event, Mode, Move
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


def create(stage, body, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return stage.http.post("/v1/messages", json=body, headers=stage.customer.headers | named)


def nameless(**changes):
    body = call(**changes)
    del body["messageId"]
    return body


def cancel(stage, id_, headers=None):
    return stage.http.post(f"/v1/messages/{id_}/cancel", headers=headers or stage.customer.headers)


def explained(stage, id_):
    reply = stage.http.get(f"/v1/messages/{id_}/explain", headers=stage.customer.headers)
    assert reply.status_code == 200, reply.text
    return reply.get_json()


def move(stage, id_, *events, **facts):
    for event in events:
        stage.services.database.run(lambda c, event=event: moves.apply(c, [Move(id_, event, due_in_s=60, **facts)]))


def test_a_message_is_created_and_found_where_its_location_says(stage):
    body = call()

    reply = create(stage, body)

    created = reply.get_json()
    assert reply.status_code == 202
    assert reply.headers["Location"] == created["links"]["self"] == f"/v1/messages/{created['id']}"
    assert "Idempotency-Replayed" not in reply.headers
    assert (created["messageId"], created["status"]) == (body["messageId"], "queued")
    found = stage.http.get(reply.headers["Location"], headers=stage.customer.headers).get_json()
    assert (found["id"], found["expiresAt"]) == (created["id"], created["expiresAt"])


def test_it_is_the_same_message_whichever_route_is_asked(stage):
    body = call()

    first, again = stage.make_call(body).get_json()["data"], create(stage, body)

    assert again.status_code == 202
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json()["id"] == first["id"]
    assert is_problem(create(stage, body | {"message": "Another."}), 409, "message_id_reused")


@pytest.mark.parametrize("key", ["a-key-of-mine", '"a-quoted-key"', "x" * 128, '"'])
def test_an_idempotency_key_stands_in_for_the_message_id(stage, key):
    body, name = nameless(), key.strip('"') or '"'

    first, again = (create(stage, body, Idempotency_Key=key) for _ in range(2))
    other = create(stage, nameless(message="Another."), Idempotency_Key=key)

    assert (first.status_code, first.get_json()["messageId"]) == (202, name)
    assert (again.get_json()["id"], again.headers["Idempotency-Replayed"]) == (first.get_json()["id"], "true")
    assert is_problem(other, 409, "message_id_reused")


def test_a_message_id_counts_before_an_idempotency_key(stage):
    body = call()

    reply = create(stage, body, Idempotency_Key="something else")

    assert reply.get_json()["messageId"] == body["messageId"]


@pytest.mark.parametrize("key", ["", "x" * 129, "two words", '""', "caf\u00e9"])
def test_an_idempotency_key_that_is_none_is_named(stage, key):
    before = stage.count("messages")

    reply = create(stage, nameless(), Idempotency_Key=key)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == ["Idempotency-Key"]
    assert stage.count("messages") == before


def test_without_either_the_message_id_is_missed(stage):
    assert members(create(stage, nameless())) == ["messageId"]
    assert members(stage.make_call(nameless(), {"Idempotency-Key": "only-of-v1"})) == ["messageId"]


def test_a_batch_is_the_same_under_v1(stage):
    calls = [call(), call(message=""), call()]

    reply = stage.http.post("/v1/messages/batch", json={"calls": calls}, headers=stage.customer.headers)

    body = reply.get_json()
    assert (reply.status_code, body["accepted"], body["rejected"]) == (200, 2, 1)
    assert [one["messageId"] for one in body["data"]] == [one["messageId"] for one in calls]


@pytest.mark.parametrize("members", [{}, {"scheduledAt": "2030-01-01T00:00:00Z"}], ids=["queued", "scheduled"])
def test_a_message_that_waits_is_taken_back_and_the_provider_is_told(stage, members, monkeypatch):
    rung = []
    monkeypatch.setattr(stage.services.doorbell, "ring", rung.append)
    if members:
        members = {"scheduledAt": (datetime.now(UTC) + timedelta(hours=3)).isoformat()}
    id_ = stage.make_call(call(**members)).get_json()["data"]["id"]
    rung.clear()

    reply = cancel(stage, id_)

    body = reply.get_json()
    assert reply.status_code == 200
    assert (body["status"], body["reason"], body["party"]) == ("canceled", "canceled_by_sender", "sender")
    assert [one["type"] for one in body["events"]] == ["message.accepted", "message.canceled"]
    assert [one["state"] for one in body["callbacks"]] == ["due"]
    assert rung == [DELIVER_CALLBACKS]
    assert stage.rows("SELECT content FROM messages WHERE id = :id", id=id_) == [(None,)]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([Event.CLAIMED], "dialing"),
        ([Event.CLAIMED, Event.CALL_PLACED], "placed"),
        ([Event.CLAIMED, Event.DIAL_DOUBTFUL], "dial_unknown"),
        ([Event.CLAIMED, Event.CALL_PLACED, Event.SESSION_COMPLETED], "delivered"),
        ([Event.CANCEL_ASKED], "canceled"),
    ],
)
def test_what_is_dialled_or_over_is_not_taken_back_and_its_status_told(stage, events, status):
    id_ = stage.make_call(call()).get_json()["data"]["id"]
    move(stage, id_, *events)

    reply = cancel(stage, id_)

    assert is_problem(reply, 409, "not_cancelable")
    assert reply.get_json()["messageStatus"] == status
    assert status in reply.get_json()["details"]
    assert stage.rows("SELECT status FROM messages WHERE id = :id", id=id_) == [(status,)]


def test_a_cancellation_whose_commit_was_not_heard_of_is_one(stage, monkeypatch):
    """The second try of the same request finds what the first one did."""
    id_ = stage.make_call(call()).get_json()["data"]["id"]
    run = stage.services.database.run

    def twice(work, **how):
        run(work, **how)
        return run(work, **how)

    monkeypatch.setattr(stage.services.database, "run", twice)

    assert cancel(stage, id_).get_json()["status"] == "canceled"


def test_a_message_of_others_is_neither_taken_back_nor_explained(stage):
    id_ = stage.make_call(call()).get_json()["data"]["id"]
    other = Customer(stage.services.database)

    for path in ("cancel", "explain"):
        for wanted in (id_, "msg_nonsense", "msg_" + "0" * 26):
            method = "POST" if path == "cancel" else "GET"
            reply = stage.http.open(f"/v1/messages/{wanted}/{path}", method=method, headers=other.headers)
            assert is_problem(reply, 404, "not_found")
    assert stage.rows("SELECT status FROM messages WHERE id = :id", id=id_) == [("queued",)]


def test_a_test_key_takes_back_and_has_explained_tests_only(stage):
    live = stage.make_call(call()).get_json()["data"]["id"]
    stage.rows("UPDATE api_keys SET mode = :mode WHERE key_id = :id RETURNING 1", mode=Mode.TEST,
               id=(tester := Customer(stage.services.database)).key_id)  # fmt: skip
    stage.rows("UPDATE api_keys SET provider_id = :p WHERE key_id = :id RETURNING 1", p=stage.customer.provider_id,
               id=tester.key_id)  # fmt: skip
    own = stage.http.post("/v1/messages", json=call(), headers=tester.headers).get_json()["id"]

    assert is_problem(cancel(stage, live, tester.headers), 404, "not_found")
    assert is_problem(stage.http.get(f"/v1/messages/{live}/explain", headers=tester.headers), 404, "not_found")
    assert cancel(stage, own, tester.headers).get_json()["status"] == "canceled"


def test_an_explanation_tells_what_happened_whose_side_it_was_and_what_comes_next(stage):
    id_ = stage.make_call(call()).get_json()["data"]["id"]
    waiting = explained(stage, id_)
    move(stage, id_, Event.CLAIMED, Event.CALL_PLACED)
    move(stage, id_, Event.SESSION_NOT_ANSWERED, reason="no_answer")

    over = explained(stage, id_)

    assert waiting["sentence"] == "The message for +65****4567 waits to be called; it is called as soon as it can be."
    assert over["happened"] == "the call to +65****4567 did not get through: the phone rang and nobody answered"
    assert over["party"] == "recipient"
    assert over["next"] == (
        "you may send it again under another messageId, and 1 of 1 callbacks are still to be delivered"
    )
    assert over["sentence"].endswith(over["next"] + ".")
    assert (over["facts"]["retryable"], over["facts"]["moneyLikelySpent"]) == (True, False)
    assert "4711" not in str(over)


def test_an_endpoint_can_be_named_at_once_whatever_this_process_remembers(stage):
    stage.make_call(call())  # it remembers the key with its endpoints
    url = "https://shop.example/made-just-now"
    made = stage.http.post("/v1/endpoints", json={"url": url}, headers=stage.customer.headers).get_json()

    named, unknown = (create(stage, call(callbackUrl=one)) for one in (url, "https://shop.example/never-made"))

    assert named.status_code == 202
    assert stage.row(named.get_json()["messageId"]).endpoint_id == made["id"]
    assert members(unknown) == ["callbackUrl"]


def test_the_methods_of_a_route_are_not_those_of_a_message(stage):
    for path, allowed in {"/v1/messages/batch": "POST", f"/v1/messages/msg_{'0' * 26}": "GET, HEAD"}.items():
        reply = stage.http.open(path, method="OPTIONS", headers=stage.customer.headers)
        assert (reply.status_code, reply.headers["Allow"]) == (405, allowed)
