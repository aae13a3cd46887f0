"""POST /api/make-calls: many at once, each with an outcome of its own."""

import json

import pytest

from tests.integration.ingress_stage import CALLBACK_URL, call, is_problem, staged


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    limits = {"dials_per_second": 1000, "max_calls_in_flight": 100_000}  # thousands are in time
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), **limits) as stage:
        yield stage


def test_each_call_gets_its_own_result_in_order(stage):
    calls = [call() for _ in range(5)]

    reply = stage.make_calls(*calls)

    body = reply.get_json()
    assert (reply.status_code, body["success"], body["accepted"], body["rejected"]) == (200, True, 5, 0)
    assert [item["messageId"] for item in body["data"]] == [one["messageId"] for one in calls]
    assert {item["status"] for item in body["data"]} == {"queued"}
    assert stage.row(calls[4]["messageId"]).id == body["data"][4]["id"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (call(message=""), "invalid_request"),
        (call(customerPhone="+12025550123"), "country_not_allowed"),
        (call(**{"from": "+6531580099"}), "source_not_allowed"),
        (call(callbackUrl="https://elsewhere.example/"), "invalid_request"),
        (call(message="x" * 17_000), "body_too_large"),
        ({}, "invalid_request"),
        ([], "invalid_request"),
        ("text", "invalid_request"),
        (None, "invalid_request"),
        (10**300, "invalid_request"),
    ],
)
def test_a_bad_call_does_not_spoil_the_others(stage, bad, code):
    before, good = stage.count("messages"), [call(callbackUrl=CALLBACK_URL), call()]

    body = stage.make_calls(good[0], bad, good[1]).get_json()

    first, refused, last = body["data"]
    assert (body["accepted"], body["rejected"], stage.count("messages")) == (2, 1, before + 2)
    assert [first["messageId"], last["messageId"]] == [one["messageId"] for one in good]
    assert set(refused) == {"messageId", "error"}
    assert refused["messageId"] == (bad.get("messageId") if isinstance(bad, dict) else None)
    assert refused["error"]["code"] == code
    assert refused["error"]["requestId"].startswith("req_")


def test_the_same_call_twice_in_one_batch_is_one_message(stage):
    one = call()

    first, second = stage.make_calls(one, one).get_json()["data"]

    assert first["id"] == second["id"]


def test_two_calls_of_one_id_in_one_batch_conflict(stage):
    one = call()

    first, second = stage.make_calls(one, one | {"message": "Another."}).get_json()["data"]

    assert first["status"] == "queued"
    assert second["error"]["code"] == "message_id_reused"


def test_a_batch_sent_again_is_answered_as_before(stage):
    calls = [call(), call()]
    first = stage.make_calls(*calls).get_json()["data"]

    again = stage.make_calls(*calls).get_json()["data"]

    assert [item["id"] for item in again] == [item["id"] for item in first]


def test_a_thousand_are_taken(stage):
    calls = [call() for _ in range(1000)]

    body = stage.make_calls(*calls).get_json()

    assert (body["accepted"], len({item["id"] for item in body["data"]})) == (1000, 1000)


@pytest.mark.parametrize(
    "body", [{"calls": []}, {"calls": [{}] * 1001}, {"calls": {}}, {"calls": None}, {}, [], [call()], "x", 1, None]
)
def test_what_is_no_list_of_one_to_a_thousand_is_refused(stage, body):
    assert is_problem(stage.send(json.dumps(body).encode(), "/api/make-calls"), 422, "invalid_request")


def test_an_unknown_member_beside_the_calls_is_named(stage):
    reply = stage.send(json.dumps({"calls": [call()], "call": 1}).encode(), "/api/make-calls")

    assert reply.get_json()["errors"] == [
        {"member": "call", "message": "is not a member of this request; did you mean calls?"}
    ]


def test_over_two_mebibytes_is_a_413(stage):
    reply = stage.send(b" " * (2 * 1024 * 1024 + 1), "/api/make-calls")

    assert is_problem(reply, 413, "body_too_large")


def test_a_big_batch_within_the_limit_is_read(stage):
    calls = [call(message="x" * 1000, metadata={"a": "b" * 500}) for _ in range(1000)]
    raw = json.dumps({"calls": calls}).encode()

    reply = stage.send(raw.ljust(2 * 1024 * 1024), "/api/make-calls")

    assert reply.get_json()["accepted"] == 1000
