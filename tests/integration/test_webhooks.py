"""8x8's webhooks: who may send them, what is answered, what is kept."""

import json

import pytest

from shared.voice_api.events import glance
from tests.integration.ingress_stage import WEBHOOK_TOKEN, basic, is_problem, staged

KINDS = ("vca", "vss", "vcs", "vru", "vnu")
HANG_UP = [{"action": "hangup"}]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def stage(database_url, redis_url, data_dir):
    with staged(database_url, redis_url, data_dir, webhook_auth_token_old="old-webhook-token") as stage:
        yield stage


def summary(session_id, **payload):
    return {
        "namespace": "VOICE",
        "eventType": "SESSION_SUMMARY",
        "payload": {"sessionId": session_id, "sessionStatus": "COMPLETED"} | payload,
    }


def action(session_id, **payload):
    return {
        "namespace": "VOICE",
        "eventType": "CALL_ACTION",
        "payload": {"sessionId": session_id, "eventId": "e1", "destination": "+6581234567"} | payload,
    }


def hangs_up(reply, client_action_id="end"):
    assert (reply.status_code, reply.content_type) == (200, "application/json")
    assert reply.get_json() == {"clientActionId": client_action_id, "callflow": HANG_UP}
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": WEBHOOK_TOKEN},
        {"Authorization": f"Bearer {WEBHOOK_TOKEN}"},
        {"Authorization": f"bearer  {WEBHOOK_TOKEN}"},
        basic("8x8", WEBHOOK_TOKEN),
        basic("", WEBHOOK_TOKEN),
        {"Authorization": "old-webhook-token"},
        {"Authorization": "Bearer old-webhook-token"},
    ],
    ids=str,
)
def test_the_secret_is_taken_in_every_shape_that_8x8_can_send(stage, kind, headers):
    assert stage.webhook(kind, b"{}", **headers).status_code == 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic", "Basic !!!", "wrong", "Bearer wrong", WEBHOOK_TOKEN + "x", WEBHOOK_TOKEN[:-1],
     f"Token {WEBHOOK_TOKEN}", "Basic " + WEBHOOK_TOKEN, basic(WEBHOOK_TOKEN, "")["Authorization"], "é"],
)  # fmt: skip
def test_without_the_secret_nothing_is_kept(stage, kind, header):
    before = stage.count("webhook_inbox")

    reply = stage.webhook(kind, json.dumps(summary("s-401")), Authorization=header)

    assert is_problem(reply, 401, "unauthorized")
    assert stage.count("webhook_inbox") == before


def test_a_providers_key_opens_no_webhook(stage):
    assert is_problem(stage.webhook("vss", b"{}", **stage.customer.headers), 401, "unauthorized")


@pytest.mark.parametrize(
    ("address", "status"), [("203.0.113.7", 200), ("203.0.114.7", 401), ("2001:db8::1", 200), ("", 401), ("x", 401)]
)
def test_webhooks_come_from_the_allowed_networks_only(database_url, redis_url, data_dir, address, status):
    with staged(database_url, redis_url, data_dir, webhook_allowed_ips="203.0.113.0/24, 2001:db8::/32") as stage:
        reply = stage.http.post(
            "/api/webhooks/vss",
            data=b"{}",
            headers={"Authorization": WEBHOOK_TOKEN},
            environ_overrides={"REMOTE_ADDR": address},
        )

    assert reply.status_code == status


@pytest.mark.parametrize(
    "event_data", [{}, {"eventData": None}, {"eventData": {"dtmf": "1"}}, {"eventData": "1"}, {"eventData": [1]}]
)
def test_every_shape_of_event_data_is_hung_up_on(stage, event_data):
    assert hangs_up(stage.webhook("vca", json.dumps(action("s-1", **event_data))))


@pytest.mark.parametrize(
    "raw",
    [b"", b"garbage", b"\xff\xfe", b"[]", b"null", b'"x"', b"[" * 6000, b'{"payload": 1}', b"x" * 100 * 1024,
     json.dumps(summary("s-2")).encode(), b"1" * 5000, b'{"eventType": "\\ud800"}'],
    ids=lambda raw: repr(raw[:12]),
)  # fmt: skip
def test_a_call_is_hung_up_whatever_the_body(stage, raw):
    before = stage.count("webhook_inbox")

    assert hangs_up(stage.webhook("vca", raw))
    assert stage.count("webhook_inbox") == before + 1


def test_the_client_action_id_is_given_back(stage):
    assert hangs_up(stage.webhook("vca", json.dumps(action("s-3", clientActionId="ask-1"))), "ask-1")


def test_even_a_huge_action_is_kept_and_answered(stage):
    body = action("s-4", clientActionId="ask-2", padding="x" * 100 * 1024)

    assert hangs_up(stage.webhook("vca", json.dumps(body)), "ask-2")


def test_what_is_no_webhook_by_its_size_is_hung_up_on_and_not_kept(stage):
    before = stage.count("webhook_inbox")

    assert hangs_up(stage.webhook("vca", b"x" * 300 * 1024))
    assert is_problem(stage.webhook("vss", b"x" * 300 * 1024), 413, "body_too_large")
    assert stage.count("webhook_inbox") == before


def test_odd_characters_in_the_client_action_id_break_nothing(stage):
    raw = b'{"eventType": "CALL_ACTION", "payload": {"sessionId": "s-5", "clientActionId": "\\ud800\\u0000a"}}'

    assert hangs_up(stage.webhook("vca", raw), "a")


@pytest.mark.parametrize("kind", KINDS)
def test_an_action_is_hung_up_on_wherever_it_comes_in(stage, kind):
    assert hangs_up(stage.webhook(kind, json.dumps(action("s-6", clientActionId="here"))), "here")


@pytest.mark.parametrize("kind", ["vss", "vcs", "vru", "vnu"])
@pytest.mark.parametrize("raw", [b"", b"garbage", b"[]", b"null", b'{"eventType": "NEVER_HEARD_OF"}'])
def test_any_other_event_is_acknowledged(stage, kind, raw):
    reply = stage.webhook(kind, raw)

    assert (reply.status_code, reply.get_json()) == (200, {"status": "ok"})


def test_the_same_event_is_kept_once_in_any_order_of_its_members(stage):
    before, body = stage.count("webhook_inbox"), summary("s-7")

    for raw in (json.dumps(body), json.dumps(body), json.dumps(body, indent=2, sort_keys=True)):
        assert stage.webhook("vss", raw).status_code == 200

    assert stage.count("webhook_inbox") == before + 1


def test_a_second_different_summary_is_an_event_of_its_own(stage):
    before = stage.count("webhook_inbox")

    stage.webhook("vss", json.dumps(summary("s-8")))
    stage.webhook("vss", json.dumps(summary("s-8", sessionStatus="BUSY")))

    assert stage.count("webhook_inbox") == before + 2


def test_a_kept_body_is_sealed_and_readable_with_the_key(stage):
    raw = json.dumps(summary("s-9", details={"callA": {"destination": "+6581234567"}})).encode()
    stage.webhook("vss", raw)
    key = glance(raw).dedupe_key

    row = stage.rows("SELECT * FROM webhook_inbox WHERE dedupe_key = :key", key=key)[0]

    assert b"81234567" not in bytes(row.body)
    assert "81234567" not in repr(row)
    assert stage.services.sealer.unseal(bytes(row.body), row=key) == raw
