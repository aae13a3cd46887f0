"""Okta's telephony inline hook: PENDING once the message is stored, an error that begins its fallback otherwise."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from ingress import admission
from ingress.admission import Speed
from shared.backlog import Backlog, Waiting
from shared.times import rfc3339
from tests.integration.ingress_stage import is_problem, staged

PATH = "/integrations/okta/telephony"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


def asked(*, without=(), **profile):
    known = {
        "msgTemplate": "Your verification code is 482915",
        "phoneNumber": "+6581234567",
        "deliveryChannel": "Voice call",
        "otpCode": "482915",
        "locale": "en-US",
        "otpExpires": rfc3339(datetime.now(UTC) + timedelta(minutes=5)),
    } | profile
    for name in without:
        del known[name]
    return {
        "eventId": f"event-{next(_numbers)}",
        "eventType": "com.okta.telephony.provider",
        "source": "https://example.okta.com/api/v1/inlineHooks/cal1",
        "requestType": "com.okta.user.telephony.mfa-verification",
        "data": {"userProfile": {"login": "someone"}, "messageProfile": known},
    }


def send(stage, body):
    return stage.http.post(PATH, json=body, headers=stage.customer.headers)


def spoken(stage, id_):
    row = stage.rows("SELECT id, content FROM messages WHERE id = :id", id=id_)[0]
    return json.loads(stage.services.sealer.unseal(bytes(row.content), row=row.id))["text"]


def action(reply):
    (command,) = reply.get_json()["commands"]
    assert command["type"] == "com.okta.telephony.action"
    return command["value"][0]


def test_a_call_is_pending_once_it_is_stored_and_dies_when_the_code_does(stage):
    body = asked()

    reply = send(stage, body)

    told = action(reply)
    assert (reply.status_code, told["status"], told["provider"]) == (200, "PENDING", "Ringpost")
    row = stage.row(f"okta-{body['eventId']}")
    assert (row.id, row.status, row.lane) == (told["transactionId"], "queued", "otp")
    assert rfc3339(row.deadline) == body["data"]["messageProfile"]["otpExpires"]
    assert spoken(stage, row.id).startswith("Your verification code is 4, 8, 2")


def test_the_same_event_again_is_the_same_call(stage):
    body = asked()

    assert action(send(stage, body))["transactionId"] == action(send(stage, body))["transactionId"]


def test_a_text_without_its_code_gets_one_and_none_at_all_a_plain_one(stage):
    named = action(send(stage, asked(msgTemplate="Hello from the bank.")))["transactionId"]
    plain = action(send(stage, asked(without=["msgTemplate", "locale", "otpExpires", "deliveryChannel"])))

    assert spoken(stage, named).startswith("Hello from the bank. 4, 8, 2")
    assert spoken(stage, plain["transactionId"]).startswith("Your verification code is 4, 8, 2")


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"deliveryChannel": "SMS"}, "data.messageProfile.deliveryChannel"),
        ({"phoneNumber": "12"}, "data.messageProfile.phoneNumber"),
        ({"without": ["otpCode"]}, "data.messageProfile.otpCode"),
        ({"otpCode": ""}, "data.messageProfile.otpCode"),
        ({"otpCode": 482915}, "data.messageProfile.otpCode"),
        ({"msgTemplate": 5}, "data.messageProfile.msgTemplate"),
        ({"locale": "klingon, please"}, "data.messageProfile.locale"),
        ({"locale": "tlh"}, "data.messageProfile.locale"),
        ({"otpExpires": "soon"}, "data.messageProfile.otpExpires"),
        ({"otpExpires": "2020-01-01T00:00:00.000Z"}, "data.messageProfile.otpExpires"),
        ({"whole": {"eventId": None}}, "eventId"),
        ({"whole": {"data": []}}, "data.messageProfile"),
        ({"whole": {"data": None, "eventId": None}}, "data.messageProfile"),
    ],
)
def test_what_cannot_be_called_is_an_error_that_names_okta_s_member(stage, changes, location):
    before, changes = stage.count("messages"), dict(changes)
    whole = changes.pop("whole", {})

    reply = send(stage, asked(**changes) | whole)

    error = reply.get_json()["error"]
    assert reply.status_code == 422
    assert action(reply)["status"] == "FAILED"
    assert [one["location"] for one in error["errorCauses"]] == [location]
    assert error["errorSummary"]
    assert "482915" not in reply.text
    assert stage.count("messages") == before


def test_a_deadline_that_cannot_be_met_is_told_at_once(stage):
    send(stage, asked())  # the provider is known from now on
    stage.site.forecast.close()
    now, known = stage.site.forecast.now(), stage.site.forecast.view
    waiting = {("otp", stage.customer.provider_id): (Waiting(50 * 600, now + 60, now + 119),)}
    backlog = Backlog(at=now, pace=50.0, lines=10_000.0, waiting=waiting)
    stage.site.forecast._view = admission.outlook(backlog, Speed(), {})

    reply = send(stage, asked())
    stage.site.forecast._view = known

    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert action(reply)["status"] == "FAILED"
    assert reply.get_json()["error"]["errorCauses"][0]["errorSummary"] == "deadline_unreachable"


def test_nobody_without_a_key_has_calls_placed(stage):
    assert is_problem(stage.http.post(PATH, json=asked()), 401, "unauthorized")
    assert is_problem(stage.send(b"{", PATH), 400, "invalid_json")
