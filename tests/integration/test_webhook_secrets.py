"""8x8's webhooks: secrets that change without a gap, an address that cannot be guessed, senders behind proxies."""

import json
from contextlib import ExitStack

import pytest
import requests
from structlog.testing import capture_logs

from deploy.receiver import Receiver
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from tests.integration.ingress_stage import WEBHOOK_TOKEN, is_problem, staged
from tests.integration.simulator_stage import HANG_UP, NUMBER, SAY, SOURCE

OLD, NEW = "the-older-webhook-token", "the-newer-webhook-token"
PATH_SECRET = "f00dfeed-f00d_4711-0815"
EVENT = {"eventType": "SESSION_SUMMARY", "payload": {"sessionId": "s-1", "sessionStatus": "COMPLETED"}}
ACTION = {"eventType": "CALL_ACTION", "payload": {"sessionId": "s-1", "eventData": {"dtmf": "1"}}}


@pytest.fixture
def ingress(database_url, redis_url, tmp_path):
    """An ingress with settings of the test's choice."""
    with ExitStack() as stack:
        yield lambda **known: stack.enter_context(staged(database_url, redis_url, tmp_path, **known))


@pytest.fixture
def eight():
    """8x8, and a place where its webhooks can be read."""
    with (
        Simulator(SimulatorSettings(api_key="test-api-key", subaccount_id="test_voice", time_scale=0.001)) as simulator,
        Receiver() as receiver,
    ):
        yield simulator, receiver


def called(simulator, receiver):
    """The summary of one more call, as 8x8 sends it."""
    before = len(receiver.received)
    dial = {"action": "makeCall", "params": {"source": SOURCE, "destination": NUMBER}}
    url = f"{simulator.url}/api/v1/subaccounts/test_voice/callflows"
    sent = requests.post(
        url, json={"callflow": [dial, SAY, HANG_UP]}, headers={"Authorization": "Bearer test-api-key"}, timeout=5
    )
    assert sent.status_code == 200
    return receiver.wait_for(lambda all_: len(all_) > before)[-1]


def taken(stage, one):
    """The ingress's answer to a webhook that 8x8 sent."""
    header = {"Authorization": one.headers["authorization"]}
    return stage.http.post(one.path, data=one.body, headers=header).status_code


def test_a_secret_changes_without_a_summary_refused(ringpost, ingress, eight):
    simulator, receiver = eight
    at_8x8 = {"EIGHT_X_EIGHT_BASE_URL": simulator.url, "WEBHOOK_BASE_URL": receiver.url}
    before = ingress(webhook_auth_token=OLD)
    meanwhile = ingress(webhook_auth_token=NEW, webhook_auth_token_old=OLD)
    afterwards = ingress(webhook_auth_token=NEW)

    assert ringpost("webhooks", "register", **at_8x8, WEBHOOK_AUTH_TOKEN=OLD).exit_code == 0
    first = called(simulator, receiver)
    # 8x8 does not tell a secret: without --replace the registration looks right, and stays.
    kept = ringpost("webhooks", "register", **at_8x8, WEBHOOK_AUTH_TOKEN=NEW)
    assert "was registered already" in kept.stdout
    assert called(simulator, receiver).headers["authorization"] == OLD
    replaced = ringpost("webhooks", "register", "--replace", **at_8x8, WEBHOOK_AUTH_TOKEN=NEW)
    assert (replaced.exit_code, NEW in replaced.output) == (0, False)
    second = called(simulator, receiver)

    assert [one.headers["authorization"] for one in (first, second)] == [OLD, NEW]
    assert [taken(stage, first) for stage in (before, meanwhile, afterwards)] == [200, 200, 401]
    assert [taken(stage, second) for stage in (before, meanwhile, afterwards)] == [401, 200, 200]


def test_what_8x8_is_told_of_a_secret_address_leads_there_and_is_not_printed(ringpost, ingress, eight):
    simulator, receiver = eight
    known = {
        "EIGHT_X_EIGHT_BASE_URL": simulator.url,
        "WEBHOOK_BASE_URL": receiver.url,
        "WEBHOOK_PATH_SECRET": PATH_SECRET,
    }

    printed = [ringpost(*words, **known) for words in (
        ["webhooks", "register"], ["webhooks", "show"], ["webhooks", "show", "--json"], ["doctor", "--json"],
        ["settings"],
    )]  # fmt: skip
    summary = called(simulator, receiver)

    assert [result.exit_code for result in printed] == [0] * 5
    assert not [result for result in printed if PATH_SECRET in result.output]
    assert f"VSS -> {receiver.url}/api/webhooks/***/vss" in printed[0].stdout
    assert summary.path == f"/api/webhooks/{PATH_SECRET}/vss"
    assert taken(ingress(webhook_path_secret=PATH_SECRET), summary) == 200
    # One registered before the address had a secret is replaced by a plain register.
    plain = ringpost("webhooks", "register", **known | {"WEBHOOK_PATH_SECRET": ""})
    assert "was registered already" not in plain.stdout


def post(stage, path, body=EVENT, **headers):
    return stage.http.post(path, data=json.dumps(body), headers={"Authorization": WEBHOOK_TOKEN} | headers)


def test_a_wrong_address_is_like_one_that_there_is_not(ingress):
    stage = ingress(webhook_path_secret=PATH_SECRET)
    wrong = ["vss", "vca", "wrong/vss", "wrong/vca", f"{PATH_SECRET}x/vss", f"{PATH_SECRET[:-1]}/vss",
             f"{PATH_SECRET.upper()}/vss", "é/vss", "%ff/vca", f"{PATH_SECRET}/xyz", PATH_SECRET]  # fmt: skip
    before = stage.count("webhook_inbox")

    replies = [
        post(stage, f"/api/webhooks/{path}", Authorization=token) for path in wrong for token in (WEBHOOK_TOKEN, "no")
    ]
    nowhere = post(stage, "/nowhere").get_json() | {"requestId": ""}

    assert all(is_problem(reply, 404, "not_found") for reply in replies)
    assert [reply for reply in replies if reply.get_json() | {"requestId": ""} != nowhere] == []
    assert stage.count("webhook_inbox") == before


def test_the_right_address_wants_the_header_too(ingress):
    stage = ingress(webhook_path_secret=PATH_SECRET)

    assert post(stage, f"/api/webhooks/{PATH_SECRET}/vss").status_code == 200
    hung_up = post(stage, f"/api/webhooks/{PATH_SECRET}/vca", ACTION)
    assert hung_up.get_json()["callflow"] == [{"action": "hangup"}]
    assert is_problem(post(stage, f"/api/webhooks/{PATH_SECRET}/vss", Authorization="no"), 401, "unauthorized")


def test_no_error_logs_a_secret_address(ingress, monkeypatch):
    stage = ingress(webhook_path_secret=PATH_SECRET)

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("ingress.webhooks.bodies.read_any", broken)
    with capture_logs() as logs:
        reply = post(stage, f"/api/webhooks/{PATH_SECRET}/vss")

    assert reply.status_code == 500
    assert [entry["path"] for entry in logs] == ["/api/webhooks/…"]
    assert PATH_SECRET not in repr([{**entry, "exc_info": None} for entry in logs]) + reply.text


SENDERS = {
    0: [
        ("203.0.113.7", "", 200),
        ("198.51.100.1", "203.0.113.7", 401),  # only says so
    ],
    1: [
        ("10.0.0.1", "203.0.113.7", 200),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", 200),
        ("10.0.0.1", "203.0.113.7, 198.51.100.1", 401),
        ("10.0.0.1", "", 401),
        ("", "::ffff:203.0.113.7", 200),  # the proxy reaches us by a unix socket
    ],
    2: [
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", 200),
        ("10.0.0.1", "203.0.113.7, 198.51.100.1, 10.0.0.2", 401),
        ("10.0.0.1", "203.0.113.7", 401),  # came in past a proxy
    ],
}


@pytest.mark.parametrize("proxies", SENDERS)
def test_an_allowed_network_is_that_of_the_sender_not_of_the_proxy(ingress, proxies):
    stage = ingress(webhook_allowed_ips="203.0.113.0/24", trusted_proxies=proxies)

    answered = [
        stage.http.post(
            "/api/webhooks/vss",
            data=json.dumps(EVENT),
            headers={"Authorization": WEBHOOK_TOKEN, "X-Forwarded-For": forwarded_for},
            environ_overrides={"REMOTE_ADDR": socket_peer},
        ).status_code
        for socket_peer, forwarded_for, _ in SENDERS[proxies]
    ]

    assert answered == [status for *_, status in SENDERS[proxies]]
