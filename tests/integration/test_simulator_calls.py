"""Calls through the simulator over HTTP: replies, webhooks and what they bring about."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import requests

from deploy.receiver import Mode, ModeKind
from tests.integration.simulator_stage import ASK, HANG_UP, NUMBER, SAY, SOURCE, stages


@pytest.fixture
def stage():
    with stages() as build:
        yield build


def test_a_call_is_created_and_its_summary_carries_the_registered_header_verbatim(stage):
    stage = stage()

    reply = stage.dial(clientRequestId="att_1", validUntil="2036-10-05T09:14:30.000Z")
    received = stage.webhooks("/vss")[0]

    body, payload = reply.json(), received.json()["payload"]
    assert reply.status_code == 200
    assert (body["sessionStatus"], body["statusCode"], body["statusMessage"]) == ("CREATED", 1, "Created")
    assert body["validUntil"] == "2036-10-05T09:14:30.000Z"
    assert uuid.UUID(body["sessionId"]).version == 1
    assert received.headers["authorization"] == "Bearer vss-token"
    assert (payload["sessionId"], payload["sessionStatus"]) == (body["sessionId"], "COMPLETED")
    assert payload["clientRequestId"] == "att_1"


def test_say_and_hang_up_asks_nobody_what_comes_next(stage):
    stage = stage()

    stage.dial(SAY, HANG_UP)
    stage.webhooks("/vss")

    assert [one.path for one in stage.receiver.received] == ["/vss"]


def test_a_flow_that_leaves_the_leg_up_asks_once_and_obeys(stage):
    stage = stage()

    stage.dial(SAY)
    payload = stage.summary()

    asked = stage.webhooks("/vca")
    assert len(asked) == 1
    assert asked[0].headers["authorization"] == "Basic dmNhOnRva2Vu"
    assert asked[0].json()["payload"]["eventData"] == {"dtmf": None}
    assert (payload["sessionStatus"], payload["lastAction"]) == ("COMPLETED", "HANGUP")


def test_a_pressed_key_is_reported(stage):
    stage = stage()

    stage.dial(ASK, destination="+6581230008")

    assert stage.webhooks("/vca")[0].json()["payload"]["eventData"] == {"dtmf": "5"}


def test_a_reply_without_hang_up_is_played_and_asked_about_again(stage):
    stage = stage()
    stage.answer_vca(json.dumps({"clientActionId": "more", "callflow": [ASK]}).encode())

    stage.dial(ASK)
    second = stage.webhooks("/vca", count=2)[1].json()["payload"]

    assert second["clientActionId"] == "more"


@pytest.mark.parametrize("body", [b'{"status": "ok"}', b"", b"[]"])
def test_an_invalid_reply_ends_a_heard_call_in_error(stage, body):
    stage = stage()
    stage.answer_vca(body)

    stage.dial(ASK)
    payload = stage.summary()

    assert (payload["sessionStatus"], payload["errorDetails"]["errorCode"]) == ("ERROR", -2003)
    assert payload["errorDetails"]["action"] == "SAY_AND_CAPTURE"
    assert "connectedTimestamp" in payload["details"]["callA"]


@pytest.mark.parametrize("mode", [Mode(kind=ModeKind.STATUS, status=500), Mode(kind=ModeKind.HANG)])
def test_a_webhook_that_fails_or_hangs_ends_a_heard_call_in_error(stage, mode):
    stage = stage(vca_timeout_s=0.2)
    stage.receiver.set_mode("/vca", mode)

    stage.dial(ASK)
    payload = stage.summary()

    assert (payload["sessionStatus"], payload["errorDetails"]["errorCode"]) == ("ERROR", -2002)
    assert "connectedTimestamp" in payload["details"]["callA"]


def test_timestamps_tell_the_unscaled_story(stage):
    stage = stage(time_scale=0.001)
    started = datetime.now(UTC)

    stage.dial(destination="+6581230002")
    payload = stage.summary()

    begin, end = (datetime.fromisoformat(payload[name]) for name in ("startTime", "endTime"))
    assert end - begin == timedelta(seconds=45)
    assert datetime.now(UTC) - started < timedelta(seconds=5)


def test_the_time_scale_stretches_the_real_call(stage):
    stage = stage(time_scale=0.01)
    started = datetime.now(UTC)

    stage.dial(destination="+6581230002")
    stage.summary()

    assert datetime.now(UTC) - started >= timedelta(seconds=0.45)


def test_calls_beyond_the_trunks_are_created_and_fail_by_summary(stage):
    stage = stage(trunk_capacity=1, ring_s=1_000_000)

    first, second = (stage.dial(destination=number).json() for number in (NUMBER, "+6581234568"))
    payload = stage.summary()

    assert [first["sessionStatus"], second["sessionStatus"]] == ["CREATED", "CREATED"]
    assert (payload["sessionId"], payload["errorDetails"]["errorCode"]) == (second["sessionId"], -2010)
    assert payload["startTime"] == payload["endTime"]


def test_a_freed_trunk_takes_the_next_call(stage):
    stage = stage(trunk_capacity=1)

    for count in (1, 2):
        stage.dial()
        stage.webhooks("/vss", count=count)

    assert [entry.session_status for entry in stage.simulator.ledger.accepted] == ["COMPLETED", "COMPLETED"]


def test_validity_is_looked_at_again_before_dialling(stage):
    stage = stage(dial_delay_s=60)
    soon = (datetime.now(UTC) + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")

    reply = stage.dial(validUntil=soon)

    assert reply.json()["sessionStatus"] == "CREATED"
    assert stage.summary()["errorDetails"]["errorCode"] == -2007


def test_an_uncovered_country_is_created_and_fails_by_summary(stage):
    stage = stage(covered_countries=frozenset({"US"}))

    stage.dial()

    assert stage.summary()["errorDetails"]["errorCode"] == -2004


def test_a_caller_id_of_another_account_is_refused(stage):
    stage = stage(caller_ids=frozenset({"+6531580009"}))

    reply = stage.dial()

    assert (reply.status_code, reply.json()["statusCode"]) == (422, -1014)
    assert stage.simulator.ledger.summary()["refused"] == {"-1014": 1}


def test_an_account_without_the_echo_sends_none(stage):
    stage = stage(echoes_client_ids=False)

    stage.dial(clientRequestId="att_1")

    assert "clientRequestId" not in stage.summary()


def test_a_disabled_webhook_is_not_posted(stage):
    stage = stage(time_scale=0)
    registration = {"type": "VSS", "url": f"{stage.receiver.url}/vss"}
    stage.http.delete(f"{stage.base}/webhooks/VSS", timeout=5)
    stage.http.post(f"{stage.base}/webhooks", json=registration | {"enabled": False}, timeout=5)

    stage.dial()
    stage.simulator.wait_for(lambda ledger: ledger.accepted[0].session_status is not None)
    stage.simulator.register_webhook("VSS", registration["url"])
    heard = stage.dial().json()["sessionId"]

    assert [one.json()["payload"]["sessionId"] for one in stage.webhooks("/vss")] == [heard]


def test_a_refused_summary_is_sent_again(stage):
    stage = stage()
    stage.receiver.set_mode("/vss", Mode(kind=ModeKind.STATUS, status=503, times=2))

    stage.dial()
    stage.simulator.wait_for(lambda ledger: ledger.accepted[0].came_back("VSS") == [503, 503, 200])

    bodies = {one.body for one in stage.webhooks("/vss")}
    assert len(bodies) == 1


def test_resending_can_be_switched_off(stage):
    stage = stage(retries_vss=False)
    stage.receiver.set_mode("/vss", Mode(kind=ModeKind.STATUS, status=503, times=1))

    stage.dial()
    stage.simulator.wait_for(lambda ledger: ledger.accepted[0].came_back("VSS") == [503])
    stage.dial()
    stage.simulator.wait_for(lambda ledger: ledger.accepted[1].came_back("VSS") == [200])

    assert len(stage.webhooks("/vss")) == 2


def test_a_plan_changes_what_a_phone_does_from_dial_to_dial(stage):
    stage = stage()
    stage.simulator.plan(NUMBER, ["busy", "no_answer"])

    for _ in range(3):
        stage.dial()
    stage.simulator.wait_for(lambda ledger: all(entry.session_status for entry in ledger.of(NUMBER)))

    statuses = [entry.session_status for entry in stage.simulator.ledger.of(NUMBER)]
    assert statuses == ["BUSY", "NO_ANSWER", "NO_ANSWER"]


def test_an_inbound_call_asks_and_sums_up_a_session_nobody_knows(stage):
    stage = stage()

    reply = requests.post(f"{stage.simulator.url}/sim/inbound", json={"from": NUMBER, "to": SOURCE}, timeout=5)
    payload = stage.summary()

    asked = stage.webhooks("/vca")[0].json()["payload"]
    assert (asked["callStatus"], asked["callDirection"], asked["source"]) == (
        "CALL_RECEIVED",
        "INBOUND",
        NUMBER,
    )
    assert payload["sessionId"] == asked["sessionId"] == reply.json()["sessionId"]
    assert payload["details"]["callA"]["callDirection"] == "INBOUND"
    assert stage.simulator.ledger.summary()["accepted"] == 0


def test_a_changed_key_is_refused_with_the_old_value(stage):
    stage = stage()
    stage.simulator.set_key("new-key")

    reply = stage.dial()

    assert reply.status_code == 401
    assert reply.json()["statusMessage"] == "Authentication header not found or token invalid"
    assert reply.json()["sessionStatus"] == "NOT_CREATED"


def test_a_reset_forgets_calls_plans_faults_and_keys_but_not_webhooks(stage):
    stage = stage(time_scale=1)
    stage.simulator.plan(NUMBER, ["busy"])
    stage.dial()
    stage.simulator.set_fault("vss_before_reply")
    stage.simulator.set_key("other")

    stage.simulator.reset()
    stage.simulator.set_fault("vss_before_reply")
    stage.dial()

    assert [entry.behaviour for entry in stage.simulator.ledger.accepted] == ["completed"]
    assert len(stage.receiver.received) == 1


def test_waiting_in_vain_names_what_the_ledger_has(stage):
    stage = stage()

    with pytest.raises(TimeoutError, match="'accepted': 0"):
        stage.simulator.wait_for(lambda ledger: bool(ledger.accepted), 0.05)
