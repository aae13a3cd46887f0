"""POST /api/make-call: every member's rule, what is stored, and the same request twice."""

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from ingress import admission
from ingress.admission import Speed
from shared import jobs
from shared.backlog import Backlog, Waiting
from shared.db.queries import accept
from shared.db.queries.providers import owner_of_key
from shared.lifecycle import Lane
from shared.times import parse_time, rfc3339
from shared.voices import Voices
from tests.integration.ingress_stage import CALLBACK_URL, Customer, call, is_problem, members, staged

OFFER = {"en-US-BenjaminRUS": "en-US", "de-DE-KatjaNeural": "de-DE", "sw-KE-RafikiNeural": "sw-KE"}


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


def later(**delta):
    return rfc3339(datetime.now(UTC) + timedelta(**delta))


def seconds_left(row):
    return (row.deadline - row.created_at).total_seconds()


# What is taken


def test_the_demos_request_is_taken_and_told(stage):
    body = call(repetition=2)

    reply = stage.make_call(body)

    data = reply.get_json()["data"]
    assert (reply.status_code, reply.get_json()["success"]) == (200, True)
    assert data["id"].startswith("msg_")
    assert (data["messageId"], data["status"]) == (body["messageId"], "queued")
    assert (data["sessionId"], data["sessionStatus"]) == (None, "PENDING")
    assert (data["willMeetDeadline"], data["warnings"]) == (True, [])
    assert data["links"] == {"self": f"/v1/messages/{data['id']}"}
    assert abs(parse_time(data["estimatedDialAt"]) - datetime.now(UTC)) < timedelta(seconds=5)
    assert reply.headers["X-Request-Id"]
    assert "Idempotency-Replayed" not in reply.headers


def test_what_is_left_out_gets_its_default(stage):
    body = call()

    stage.make_call(body)

    row = stage.row(body["messageId"])
    assert (row.lane, row.plays, row.speed, row.interruptible) == ("otp", 2, 1, False)
    assert (row.source, row.voice, row.country) == ("+6531580001", "en-US-BenjaminRUS", "SG")
    assert (row.metadata, row.warnings, row.endpoint_id, row.redial_unknown) == ({}, [], None, False)
    assert seconds_left(row) == 120


@pytest.mark.parametrize(("kind", "seconds"), [("otp", 120), ("alert", 1800), ("notification", 14400)])
def test_a_types_messages_live_for_its_default_time(stage, kind, seconds):
    body = call(type=kind)

    stage.make_call(body)

    row = stage.row(body["messageId"])
    assert (row.lane, seconds_left(row)) == (kind, seconds)


@pytest.mark.parametrize(
    ("asked", "column", "stored"),
    [
        ({"repetition": 1}, "plays", 1),
        ({"repetition": 3}, "plays", 3),
        ({"speed": 0.5}, "speed", 0.5),
        ({"speed": 2}, "speed", 2.0),
        ({"interruptible": True}, "interruptible", True),
        ({"from": "+6531580001"}, "source", "+6531580001"),
        ({"from": "6531580001"}, "source", "+6531580001"),
        ({"voice": "en-GB-Emma"}, "voice", "en-GB-Emma"),
        ({"language": "en-GB"}, "voice", "en-GB-Emma"),
        ({"language": "ar", "voice": "en-GB-Emma"}, "voice", "en-GB-Emma"),
        ({"redial": {"maxAttempts": 4}}, "max_attempts", 4),
        ({"redial": {"maxAttempts": 1}}, "max_attempts", 1),
        ({"redial": {"onUnknown": "redial"}}, "redial_unknown", True),
        ({"redial": {"onUnknown": "report"}}, "redial_unknown", False),
        ({"redial": {}}, "redial_unknown", False),
        ({"metadata": {"a" * 40: "b" * 500}}, "metadata", {"a" * 40: "b" * 500}),
        ({"metadata": {str(n): "" for n in range(10)}}, "metadata", {str(n): "" for n in range(10)}),
        ({"customerPhone": "65 8123 4567".replace(" ", "")}, "destination_masked", "+65****4567"),
        ({"customerPhone": "+65 8123-4567"}, "destination_masked", "+65****4567"),
        ({"message": "x" * 1000}, "plays", 2),
        ({"message": "Code {code}", "code": "407"}, "plays", 2),
        ({"message": "Code {code}", "code": "ABCDEF123456"}, "plays", 2),
        ({"messageId": "a"}, "message_id", "a"),
        ({"messageId": "é" * 128}, "message_id", "é" * 128),
    ],
)  # fmt: skip
def test_a_member_within_its_rule_is_stored(stage, asked, column, stored):
    body = call(**asked)

    reply = stage.make_call(body)

    assert reply.status_code == 200, reply.get_json()
    assert getattr(stage.row(body["messageId"]), column) == stored


@pytest.mark.parametrize("seconds", [15, 86400])
def test_a_lifetime_at_its_limit_is_taken(stage, seconds):
    body = call(ttlSeconds=seconds)

    stage.make_call(body)

    assert seconds_left(stage.row(body["messageId"])) == seconds


def test_a_deadline_may_be_a_moment(stage):
    moment = later(minutes=5)

    data = stage.make_call(call(expiresAt=moment)).get_json()["data"]

    assert data["expiresAt"] == moment


def test_a_scheduled_messages_lifetime_counts_from_its_time(stage):
    body = call(scheduledAt=later(days=6), ttlSeconds=60)

    data = stage.make_call(body).get_json()["data"]

    row = stage.row(body["messageId"])
    assert (data["status"], row.status, rfc3339(row.due_at)) == ("scheduled", "scheduled", body["scheduledAt"])
    assert row.deadline - row.scheduled_at == timedelta(seconds=60)


def test_a_schedule_in_the_past_means_now(stage):
    body = call(scheduledAt=later(days=-1))

    stage.make_call(body)

    row = stage.row(body["messageId"])
    assert (row.status, seconds_left(row)) == ("queued", 120)


@pytest.mark.parametrize("repetition", [4, 7, 10])
def test_the_demos_many_repetitions_become_three_and_it_is_said(stage, repetition):
    body = call(repetition=repetition)

    data = stage.make_call(body).get_json()["data"]

    assert stage.row(body["messageId"]).plays == 3
    assert len(data["warnings"]) == 1
    assert f"{repetition} became 3" in data["warnings"][0]


def test_markup_is_taken_out_and_it_is_said(stage):
    data = stage.make_call(call(message="Your <b>code</b> is 4711 \N{PARTY POPPER}")).get_json()["data"]

    assert len(data["warnings"]) == 2
    assert all(warning.startswith("message: ") for warning in data["warnings"])


def test_a_registered_callback_url_is_the_only_one_called(stage):
    body = call(callbackUrl=CALLBACK_URL)

    stage.make_call(body)

    assert stage.row(body["messageId"]).endpoint_id == stage.customer.endpoint_id


# What is refused


@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        ({"messageId": ""}, "messageId"),
        ({"messageId": "x" * 129}, "messageId"),
        ({"customerPhone": ""}, "customerPhone"),
        ({"customerPhone": "+65" + "1" * 40}, "customerPhone"),
        ({"customerPhone": "+6512"}, "customerPhone"),
        ({"customerPhone": "+6500000000"}, "customerPhone"),
        ({"customerPhone": "nobody"}, "customerPhone"),
        ({"customerPhone": "+999999999999"}, "customerPhone"),
        ({"customerPhone": "+80012345678"}, "customerPhone"),
        ({"message": ""}, "message"),
        ({"message": "   "}, "message"),
        ({"message": "<br>"}, "message"),
        ({"message": "x" * 1001}, "message"),
        ({"repetition": 0}, "repetition"),
        ({"repetition": -1}, "repetition"),
        ({"repetition": 11}, "repetition"),
        ({"repetition": 2.5}, "repetition"),
        ({"type": "sms"}, "type"),
        ({"ttlSeconds": 14}, "ttlSeconds"),
        ({"ttlSeconds": 86401}, "ttlSeconds"),
        ({"expiresAt": "tomorrow"}, "expiresAt"),
        ({"expiresAt": "2026-10-05T09:12:10"}, "expiresAt"),
        ({"expiresAt": "2001-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "9999-12-31T23:59:59-14:00"}, "expiresAt"),
        ({"expiresAt": "0001-01-01T00:00:00+14:00"}, "expiresAt"),
        ({"expiresAt": later(days=2)}, "expiresAt"),
        ({"expiresAt": later(seconds=5)}, "expiresAt"),
        ({"expiresAt": later(hours=5), "ttlSeconds": 60}, "expiresAt"),
        ({"expiresAt": later(hours=5), "scheduledAt": later(hours=10)}, "expiresAt"),
        ({"scheduledAt": later(days=8)}, "scheduledAt"),
        ({"scheduledAt": "soon"}, "scheduledAt"),
        ({"message": "{code}", "code": "12"}, "code"),
        ({"message": "{code}", "code": "1234567890123"}, "code"),
        ({"message": "{code}", "code": "abc"}, "code"),
        ({"message": "{code}", "code": "12 34"}, "code"),
        ({"message": "{code}", "code": "1234\n"}, "code"),
        ({"message": "{code}", "code": "١٢٣٤"}, "code"),
        ({"code": "1234"}, "message"),
        ({"message": "Your code is {code}"}, "code"),
        ({"language": "tlh"}, "language"),
        ({"language": "en_US!"}, "language"),
        ({"voice": "a b"}, "voice"),
        ({"voice": "x" * 65}, "voice"),
        ({"speed": 0.49}, "speed"),
        ({"speed": 2.01}, "speed"),
        ({"redial": {"maxAttempts": 0}}, "redial.maxAttempts"),
        ({"redial": {"maxAttempts": 5}}, "redial.maxAttempts"),
        ({"redial": {"maxAttempts": "2"}}, "redial.maxAttempts"),
        ({"redial": {"onUnknown": "hope"}}, "redial.onUnknown"),
        ({"redial": {"often": True}}, "redial.often"),
        ({"callbackUrl": "https://elsewhere.example/"}, "callbackUrl"),
        ({"callbackUrl": CALLBACK_URL + "/"}, "callbackUrl"),
        ({"callbackUrl": "x" * 2049}, "callbackUrl"),
        ({"metadata": {str(n): "" for n in range(11)}}, "metadata"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"metadata": {"a" * 41: "x"}}, "metadata"),
        ({"metadata": {"a": "x" * 501}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": None}}, "metadata.a"),
    ],
)  # fmt: skip
def test_a_member_outside_its_rule_is_named(stage, wrong, member):
    before = stage.count("messages")

    reply = stage.make_call(call(**wrong))

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == [member]
    assert reply.get_json()["details"].startswith(member)
    assert stage.count("messages") == before


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("messageId", "is required"),
        ("customerPhone", "is required"),
        ("message", "is required, or a template"),
    ],
)
def test_a_missing_member_is_named(stage, member, said):
    body = call()
    del body[member]

    reply = stage.make_call(body)

    assert is_problem(reply, 422, "invalid_request")
    assert reply.get_json()["errors"] == [{"member": member, "message": said}]


def test_everything_wrong_is_named_at_once(stage):
    reply = stage.make_call({"customerPhone": 1, "message": "", "speed": 9, "redial": {"maxAttempts": 9}})

    assert members(reply) == ["messageId", "customerPhone", "message", "speed", "redial.maxAttempts"]


@pytest.mark.parametrize(
    ("unknown", "member", "suggested"),
    [
        ({"mesage": "x"}, "mesage", "message"),
        ({"repetitions": 2}, "repetitions", "repetition"),
        ({"form": "+6531580001"}, "form", "from"),
        ({"redial": {"maxAttempt": 2}}, "redial.maxAttempt", "maxAttempts"),
    ],
)
def test_an_unknown_member_is_named_with_the_nearest_known_one(stage, unknown, member, suggested):
    reply = stage.make_call(call(**unknown))

    said = f"is not a member of this request; did you mean {suggested}?"
    assert reply.get_json()["errors"] == [{"member": member, "message": said}]


def test_our_own_name_for_from_is_no_member(stage):
    assert members(stage.make_call(call(source="+6531580001"))) == ["source"]


def test_an_answer_never_repeats_a_refused_value(stage):
    reply = stage.make_call(call(customerPhone="+6581234567890123", message="", code="hush hush"))

    assert "8123" not in reply.text
    assert "hush" not in reply.text


def test_a_country_that_may_not_be_called_has_a_code_of_its_own(stage):
    reply = stage.make_call(call(customerPhone="+12025550123"))

    assert is_problem(reply, 422, "country_not_allowed")
    assert members(reply) == ["customerPhone"]


def test_a_providers_own_countries_count_before_the_settings(stage):
    customer = Customer(stage.services.database)
    stage.services.database.run(
        lambda c: c.execute(
            text("UPDATE providers SET countries = '{US}' WHERE provider_id = :id"), {"id": customer.provider_id}
        )
    )

    abroad = stage.make_call(call(customerPhone="+12025550123"), customer.headers)
    at_home = stage.make_call(call(), customer.headers)

    assert abroad.status_code == 200
    assert is_problem(at_home, 422, "country_not_allowed")


def test_a_caller_id_that_is_not_ours_has_a_code_of_its_own(stage):
    reply = stage.make_call(call(**{"from": "+6531580099"}))

    assert is_problem(reply, 422, "source_not_allowed")
    assert members(reply) == ["from"]


@pytest.fixture
def offered(stage):
    """What 8x8 offers is known."""
    before, stage.site.voices.value = stage.site.voices.value, Voices("en-US-BenjaminRUS", OFFER)
    yield
    stage.site.voices.value = before


def test_only_an_offered_voice_is_taken_once_the_offer_is_known(stage, offered):
    body = call(voice="de-DE-KatjaNeural")

    taken, refused = stage.make_call(body), stage.make_call(call(voice="en-GB-Emma"))

    assert (taken.status_code, stage.row(body["messageId"]).voice) == (200, "de-DE-KatjaNeural")
    assert is_problem(refused, 422, "invalid_request")
    assert members(refused) == ["voice"]


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("de-DE", "de-DE-KatjaNeural"),
        ("de", "de-DE-KatjaNeural"),
        ("de-AT", "de-DE-KatjaNeural"),
        ("sw-KE", "sw-KE-RafikiNeural"),
        ("en-US", "en-US-BenjaminRUS"),
    ],
)
def test_a_language_gets_an_offered_voice(stage, offered, language, voice):
    body = call(language=language)

    stage.make_call(body)

    assert stage.row(body["messageId"]).voice == voice


def test_a_language_without_an_offered_voice_is_refused(stage, offered):
    assert members(stage.make_call(call(language="bg"))) == ["language"]


# The same request twice


def test_the_same_body_again_gets_the_same_answer_with_its_present_status(stage):
    body = call()
    first = stage.make_call(body).get_json()["data"]
    stage.services.database.run(
        lambda c: c.execute(text("UPDATE messages SET status = 'dialing' WHERE id = :id"), {"id": first["id"]})
    )

    again = stage.make_call(body)

    data = again.get_json()["data"]
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert (data["id"], data["expiresAt"], data["status"]) == (first["id"], first["expiresAt"], "dialing")


def test_another_body_with_the_same_id_is_a_conflict(stage):
    body = call()
    stage.make_call(body)

    reply = stage.make_call(body | {"message": "Your code is 4712."})

    assert is_problem(reply, 409, "message_id_reused")
    assert "4712" not in reply.text


def test_order_and_spaces_make_no_other_body(stage):
    body = call(metadata={"a": "1", "b": "2"})
    stage.make_call(body)
    turned = (
        '{ "metadata" : {"b":"2",  "a":"1"},\n "message":"Your code is 4711.", '
        f'"customerPhone":"+6581234567", "messageId": "{body["messageId"]}"}}'
    )

    reply = stage.send(turned.encode())

    assert (reply.status_code, reply.headers["Idempotency-Replayed"]) == (200, "true")


def test_the_same_id_at_two_providers_is_two_messages(stage):
    body, other = call(), Customer(stage.services.database)

    first, second = stage.make_call(body), stage.make_call(body, other.headers)

    assert first.get_json()["data"]["id"] != second.get_json()["data"]["id"]
    assert "Idempotency-Replayed" not in second.headers


def test_sixteen_threads_with_one_id_store_one_message(stage):
    body, together = call(), threading.Barrier(16)

    def send(_):
        together.wait(10)
        with stage.http.application.test_client() as http:
            return http.post("/api/make-call", json=body, headers=stage.customer.headers)

    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(send, range(16)))

    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.get_json()["data"]["id"] for reply in replies}) == 1
    assert sum("Idempotency-Replayed" not in reply.headers for reply in replies) == 1


def test_a_retry_stands_by_what_was_stored_even_when_it_would_be_refused_by_now(stage):
    body = call(expiresAt=later(seconds=16), callbackUrl=CALLBACK_URL)
    first = stage.make_call(body)
    stage.services.database.run(
        lambda c: c.execute(
            text("UPDATE endpoints SET url = 'https://shop.example/new' WHERE endpoint_id = :id"),
            {"id": stage.customer.endpoint_id},
        )
    )
    stage.site.providers._owners._answers.clear()

    again, other = stage.make_call(body), stage.make_call(body | {"message": "Another text."})

    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.get_json()["data"]["id"] == first.get_json()["data"]["id"]
    assert is_problem(other, 422, "invalid_request")
    stage.services.database.run(
        lambda c: c.execute(
            text("UPDATE endpoints SET url = :url WHERE endpoint_id = :id"),
            {"id": stage.customer.endpoint_id, "url": CALLBACK_URL},
        )
    )
    stage.site.providers._owners._answers.clear()


def test_a_commit_whose_answer_was_lost_is_no_conflict(stage):
    body = call()
    request = stage.site.intake.read(body)
    owner = stage.services.database.run(lambda c: owner_of_key(c, stage.customer.key_id))
    row = stage.site.intake.row(request, stage.site.intake.fingerprint(body), owner, stage.site.voices.value)

    first, again = (stage.services.database.run(lambda c: accept.store(c, [row])) for _ in range(2))

    assert first == again
    assert again[0].is_new


# The deadline


def test_a_deadline_that_cannot_be_met_is_refused_at_once(stage):
    stored = call()
    stage.make_call(stored)
    count = stage.count("messages")
    stage.site.forecast.close()
    now = stage.site.forecast.now()
    waiting = {("otp", stage.customer.provider_id): (Waiting(50 * 121, now + 60, now + 119),)}
    known = stage.site.forecast.view
    stage.site.forecast._view = admission.outlook(
        Backlog(at=now, pace=50.0, lines=10_000.0, waiting=waiting), Speed(), {}
    )

    reply, again = stage.make_call(call()), stage.make_call(stored)
    patient, urgent = stage.make_call(call(ttlSeconds=600)), stage.make_call(call(ttlSeconds=30))
    stage.site.forecast._view = known

    assert is_problem(reply, 503, "deadline_unreachable")
    assert int(reply.headers["Retry-After"]) >= 1
    assert again.headers["Idempotency-Replayed"] == "true"
    assert patient.get_json()["data"]["willMeetDeadline"] is True
    # It passes those with later deadlines, and is told so.
    assert parse_time(urgent.get_json()["data"]["estimatedDialAt"]).timestamp() < now + 5
    assert stage.count("messages") == count + 2


# Who is rung for


def test_workers_are_rung_for_once_the_message_is_committed_and_not_before(stage, monkeypatch):
    seen, count = [], stage.count("messages")
    monkeypatch.setattr(stage.services.doorbell, "ring", lambda job: seen.append((job, stage.count("messages"))))

    stage.make_call(call())

    assert seen == [(jobs.PLACE_CALLS[Lane.OTP], count + 1)]


def test_a_ring_carries_nothing_of_the_message(stage, monkeypatch):
    rung = []
    monkeypatch.setattr(stage.services.doorbell, "ring", lambda job: rung.append(jobs.message_of(job)))

    reply = stage.make_call(call())

    assert reply.status_code == 200
    assert [(message.args, message.kwargs, message.options) for message in rung] == [(("otp",), {}, {})]


# What is kept


def test_the_row_holds_neither_text_nor_number_nor_code(stage):
    body = call(message="Your secret code is {code}", code="471147")

    stage.make_call(body)

    shown = repr(stage.row(body["messageId"])._asdict()).lower()
    kept = b"".join(value for value in stage.row(body["messageId"]) if isinstance(value, memoryview | bytes))
    assert not any(secret in shown for secret in ("81234567", "secret code", "471147", "4, 7"))
    assert not any(secret in kept for secret in (b"81234567", b"secret", b"471147", b"4, 7"))


def test_number_and_text_are_readable_with_the_key_and_the_rows_name_only(stage):
    body = call(message="{code}", code="471")
    stage.make_call(body)
    row = stage.row(body["messageId"])

    content = stage.services.sealer.unseal(bytes(row.content), row=row.id)

    assert content == b'{"destination":"+6581234567","text":"4, 7, 1"}'


def test_the_chosen_voices_language_decides_how_a_code_is_spelled(stage):
    body = call(message="{code}", code="471", language="ar", voice="en-GB-Emma")
    stage.make_call(body)
    row = stage.row(body["messageId"])

    content = stage.services.sealer.unseal(bytes(row.content), row=row.id)

    assert b"4, 7, 1" in content


def test_the_stored_fingerprint_is_keyed(stage):
    body = call()
    stage.make_call(body)

    kept = bytes(stage.row(body["messageId"]).fingerprint)

    assert len(kept) == 16
    assert kept != hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[:16]
