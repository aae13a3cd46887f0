"""What a call would say, without a call."""

import logging

import pytest

from ingress.preview import language_of_voice
from tests.integration.ingress_stage import Customer, basic, call, is_problem, members, staged

GOOD = {"customerPhone": "+6581234567", "message": "Your code is {code} for Acme.", "code": "047192"}


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), number_limits="1/600") as stage:
        yield stage


def preview(stage, headers=None, **changed):
    body = {name: value for name, value in (GOOD | changed).items() if value is not None}
    return stage.http.post("/v1/preview", json=body, headers=headers or stage.customer.headers)


def test_a_preview_tells_what_would_be_spoken_and_for_how_long(stage):
    reply = preview(stage, repetition=7, speed=0.8)

    told = reply.get_json()
    assert reply.status_code == 200
    assert 5 < told["secondsPerPlay"] < 12
    assert told == {
        "text": "Your code is 0, 4, 7; 1, 9, 2, for Acme.",
        "language": "en-US",
        "voice": "en-US-BenjaminRUS",
        "plays": 3,
        "speed": 0.8,
        "secondsPerPlay": told["secondsPerPlay"],
        "totalSeconds": round(3 * told["secondsPerPlay"], 1),
        "country": "SG",
        "to": "+65****4567",
        "warnings": ["repetition: 8x8 speaks a text at most 3 times; 7 became 3."],
    }


def test_what_is_spoken_is_what_the_call_would_say(stage):
    body = call(message="<b>Code</b> {code}!", code="A7B", language="zh-CN", customerPhone="+6581230001")

    told = preview(stage, **body).get_json()
    stored = stage.make_call(body).get_json()["data"]

    assert told["text"] == "Code A\uff0c7\uff0cB!"
    assert (told["voice"], told["language"]) == ("zh-CN-XiaoxiaoNeural", "zh-CN")
    assert told["warnings"] == stored["warnings"] == ["message: Markup and angle brackets were removed."]
    assert stage.row(body["messageId"]).seconds_per_play == pytest.approx(told["secondsPerPlay"], abs=0.1)


def test_a_preview_stores_nothing_and_counts_against_no_limit(stage):
    number = "+6581230002"
    before = stage.count("messages")

    assert {preview(stage, customerPhone=number).status_code for _ in range(4)} == {200}

    assert stage.count("messages") == before
    assert stage.make_call(call(customerPhone=number)).status_code == 200
    assert preview(stage, customerPhone=number).status_code == 200


@pytest.mark.parametrize(
    ("changed", "code", "named"),
    [
        ({"message": None}, "invalid_request", ["message"]),
        ({"message": ""}, "invalid_request", ["message"]),
        ({"message": "no place"}, "invalid_request", ["message"]),
        ({"message": "x" * 1001, "code": None}, "invalid_request", ["message"]),
        ({"code": "ab"}, "invalid_request", ["code"]),
        ({"messageId": ""}, "invalid_request", ["messageId"]),
        ({"messageId": "x" * 129}, "invalid_request", ["messageId"]),
        ({"repetition": 11}, "invalid_request", ["repetition"]),
        ({"speed": 2.1}, "invalid_request", ["speed"]),
        ({"language": "tlh"}, "invalid_request", ["language"]),
        ({"callbackUrl": "https://else.example/"}, "invalid_request", ["callbackUrl"]),
        ({"customerPhone": "12"}, "invalid_request", ["customerPhone"]),
        ({"customerPhone": "+60123456789"}, "country_not_allowed", ["customerPhone"]),
        ({"from": "+6531589999"}, "source_not_allowed", ["from"]),
        ({"repetitions": 2}, "invalid_request", ["repetitions"]),
    ],
)
def test_a_preview_refuses_what_a_call_would_be_refused_for(stage, changed, code, named):
    reply = preview(stage, **changed)
    same = stage.make_call({name: one for name, one in (call() | GOOD | changed).items() if one is not None})

    assert is_problem(reply, 422, code)
    assert members(reply) == named
    assert reply.get_json() | {"requestId": ""} == same.get_json() | {"requestId": ""}


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 422, "invalid_request"),
        (b"null", 422, "invalid_request"),
        (b'{"message": "' + b"x" * 17000 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_call_is_refused(stage, raw, status, code):
    assert is_problem(stage.send(raw, "/v1/preview"), status, code)


def test_what_looks_like_a_code_is_named_with_how_it_would_be_spoken(stage):
    told = preview(stage, message="Your code is 482 915, your fallback 4711. Call +65 6512 3456.", code=None).get_json()

    assert told["text"] == "Your code is 482 915, your fallback 4711. Call +65 6512 3456."
    assert [warning.rpartition("spoken ")[2] for warning in told["warnings"]] == [
        '"4, 8, 2; 9, 1, 5".',
        '"4, 7, 1, 1".',
    ]
    assert all("{code}" in warning for warning in told["warnings"])


def test_beside_a_code_other_numbers_are_other_things(stage):
    assert preview(stage, message="Order 123456: your code is {code}.").get_json()["warnings"] == []


def test_a_test_key_previews_like_any_other_and_no_key_does_not(stage):
    key = stage.http.post("/v1/keys", json={"mode": "test"}, headers=stage.customer.headers).get_json()

    assert preview(stage, basic(key["id"], key["secret"])).get_json() == preview(stage).get_json()
    assert is_problem(stage.http.post("/v1/preview", json=GOOD), 401, "unauthorized")


def test_a_preview_logs_no_text(stage, caplog, capsys):
    with caplog.at_level(logging.DEBUG):
        preview(stage, message="Your secret word is {code}.")
        preview(stage, message="Your secret word is", speed=9)

    said = caplog.text + "".join(capsys.readouterr())
    assert "secret word" not in said
    assert "047192" not in said


def test_another_providers_endpoint_is_not_known(stage):
    other = Customer(stage.services.database)
    url = "https://only-theirs.example/"
    stage.services.database.run(
        lambda c: c.exec_driver_sql("UPDATE endpoints SET url = %s WHERE endpoint_id = %s", (url, other.endpoint_id))
    )

    assert preview(stage, other.headers, callbackUrl=url).status_code == 200
    assert members(preview(stage, callbackUrl=url)) == ["callbackUrl"]


@pytest.mark.parametrize(
    ("voice", "language"),
    [
        ("en-US-BenjaminRUS", "en-US"),
        ("en-GB-Emma", "en-GB"),
        ("fil-PH-BlessicaNeural", "fil-PH"),
        ("sr-Latn-RS-NicholasNeural", "sr-Latn-RS"),
        ("zh-CN-liaoning-XiaobeiNeural", "zh-CN"),
        ("id-Wati", "id"),
        ("Custom", None),
        ("x-1", None),
    ],
)
def test_a_voice_speaks_the_language_that_its_code_begins_with(voice, language):
    assert language_of_voice(voice) == language
