"""Calls through the simulator over HTTP: replies, webhooks, faults of both, the ledger."""

import json
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import requests

from deploy.receiver import Mode, ModeKind, Receiver
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings

SOURCE, NUMBER = "+6531580001", "+6581234567"
SAY = {"action": "say", "params": {"text": "4, 0, 7", "voiceProfile": "en-US-BenjaminRUS", "repetition": 2}}
HANG_UP = {"action": "hangup"}
ASK = {
    "action": "sayAndCapture",
    "params": {
        "promptMessage": "4, 0, 7. Press any key.",
        "voiceProfile": "en-US-BenjaminRUS",
        "minDigits": 1,
        "maxDigits": 1,
        "completeOnHash": False,
        "digitTimeout": 2000,
        "overallTimeout": 3000,
        "noOfTries": 2,
    },
}
HANG_UP_REPLY = b'{"clientActionId": "end", "callflow": [{"action": "hangup"}]}'


class Stage:
    """A simulator whose webhooks go to a receiver."""

    def __init__(self, simulator, receiver):
        self.simulator, self.receiver = simulator, receiver
        self.http = requests.Session()
        self.base = f"{simulator.url}/api/v1/subaccounts/{simulator.settings.subaccount_id}"
        self.http.headers["Authorization"] = f"Bearer {simulator.api_key}"
        simulator.register_webhook("VSS", f"{receiver.url}/vss", "Bearer vss-token")
        simulator.register_webhook("VCA", f"{receiver.url}/vca", "Basic dmNhOnRva2Vu")
        self.answer_vca(HANG_UP_REPLY)

    def answer_vca(self, body):
        self.receiver.set_mode("/vca", Mode(body=body))

    def dial(self, *actions, destination=NUMBER, timeout=5, **members):
        dial = {"action": "makeCall", "params": {"source": SOURCE, "destination": destination}}
        body = {"callflow": [dial, *(actions or (SAY, HANG_UP))]} | members
        return self.http.post(f"{self.base}/callflows", json=body, timeout=timeout)

    def webhooks(self, path, count=1):
        received = self.receiver.wait_for(lambda all_: sum(one.path == path for one in all_) >= count)
        return [one for one in received if one.path == path]

    def summary(self):
        return self.webhooks("/vss")[-1].json()["payload"]


@pytest.fixture
def stage():
    """Build a stage with settings of the test's choice."""
    with ExitStack() as stack:

        def build(**settings):
            simulator = stack.enter_context(Simulator(SimulatorSettings(**{"time_scale": 0.001} | settings)))
            built = Stage(simulator, stack.enter_context(Receiver()))
            stack.callback(built.http.close)
            return built

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

    reply = requests.post(
        f"{stage.simulator.url}/sim/inbound", json={"from": NUMBER, "to": SOURCE}, timeout=5
    )
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


def test_a_summary_can_come_before_the_reply(stage):
    stage = stage(time_scale=1)
    stage.simulator.set_fault("vss_before_reply")

    session_id = stage.dial().json()["sessionId"]
    received = stage.receiver.received  # no waiting: it is here already

    assert [one.json()["payload"]["sessionId"] for one in received] == [session_id]


@pytest.mark.parametrize("knob", ["reply_lost", "cut_body"])
def test_a_reply_can_be_lost_although_the_phone_rings(stage, knob):
    stage = stage()
    stage.simulator.set_fault(knob)

    with pytest.raises(requests.RequestException):
        stage.dial(clientRequestId="att_1")

    assert stage.summary()["clientRequestId"] == "att_1"
    assert stage.simulator.ledger.summary()["accepted"] == 1


def test_a_reply_can_never_come_although_the_phone_rings(stage):
    stage = stage()
    stage.simulator.set_fault("reply_never")

    with pytest.raises(requests.ReadTimeout):
        stage.dial(timeout=0.2)

    assert stage.summary()["sessionStatus"] == "COMPLETED"


def test_a_connection_can_be_reset_without_a_session(stage):
    stage = stage()
    stage.simulator.set_fault("reply_lost", created=False)

    with pytest.raises(requests.ConnectionError):
        stage.dial()

    assert stage.simulator.ledger.summary()["accepted"] == 0
    assert stage.simulator.ledger.summary()["refused"] == {"reply_lost": 1}


def test_a_slow_reply_still_comes(stage):
    stage = stage()
    stage.simulator.set_fault("slow_reply", seconds=0.2)

    reply = stage.dial()

    assert reply.elapsed >= timedelta(seconds=0.2)
    assert reply.json()["sessionStatus"] == "CREATED"


@pytest.mark.parametrize(
    ("knob", "options", "status", "code", "counted"),
    [
        ("refused", {"code": -1014}, 422, -1014, "-1014"),
        ("refused", {"code": 403}, 403, 403, "403"),
        ("refused", {"code": 404}, 404, 404, "404"),
        ("refused", {"code": -4711}, 422, -4711, "-4711"),
        ("rate_limited", {}, 429, 429, "429"),
        ("error_not_created", {}, 500, 500, "500"),
        ("ok_not_created", {}, 200, -9999, "-9999"),
        ("ok_without_session_id", {}, 200, 1, "ok_without_session_id"),
    ],
)
def test_a_knob_answers_without_a_session(stage, knob, options, status, code, counted):
    stage = stage()
    stage.simulator.set_fault(knob, count=1, **options)

    reply, next_reply = stage.dial(), stage.dial()

    assert (reply.status_code, reply.json()["statusCode"]) == (status, code)
    assert "sessionId" not in reply.json()
    assert next_reply.json()["sessionStatus"] == "CREATED"
    assert stage.simulator.ledger.summary()["refused"] == {counted: 1}


def test_throttling_names_its_seconds_only_when_told(stage):
    stage = stage()
    stage.simulator.set_fault("rate_limited", destination=NUMBER, retry_after_s=2)
    stage.simulator.set_fault("rate_limited")

    timed, plain = stage.dial(), stage.dial(destination="+6581234568")

    assert timed.headers["Retry-After"] == "2"
    assert "Retry-After" not in plain.headers


@pytest.mark.parametrize(
    ("knob", "status", "start"),
    [("error_empty", 500, b""), ("bad_gateway_html", 502, b"<html>"), ("garbage_body", 200, b"\x00\xff")],
)
def test_a_knob_answers_with_something_that_is_not_json(stage, knob, status, start):
    stage = stage()
    stage.simulator.set_fault(knob)

    reply = stage.dial()

    assert reply.status_code == status
    assert reply.content.startswith(start)
    with pytest.raises(requests.JSONDecodeError):
        reply.json()


def test_a_summary_can_come_several_times(stage):
    stage = stage()
    stage.simulator.set_fault("vss_duplicated", copies=3)

    stage.dial()

    assert len({one.body for one in stage.webhooks("/vss", count=3)}) == 1


def test_a_summary_can_be_dropped_or_late(stage):
    stage = stage()
    stage.simulator.set_fault("vss_dropped", destination="+6581234568")
    stage.simulator.set_fault("vss_delayed", destination=NUMBER, seconds=0.3)

    dropped, late = (stage.dial(destination=number) for number in ("+6581234568", NUMBER))
    received = stage.webhooks("/vss")

    assert [one.json()["payload"]["sessionId"] for one in received] == [late.json()["sessionId"]]
    assert dropped.json()["sessionStatus"] == "CREATED"


@pytest.mark.parametrize(
    ("knob", "read", "expected"),
    [
        ("vss_old_casing", lambda payload: payload["sessionStatus"], "NO ANSWER"),
        ("vss_without_echo", lambda payload: payload.get("clientRequestId"), None),
        ("vss_unknown_status", lambda payload: payload["sessionStatus"], "REROUTED"),
    ],
)
def test_a_summary_can_drift(stage, knob, read, expected):
    stage = stage()
    stage.simulator.set_fault(knob)

    stage.dial(destination="+6581230002", clientRequestId="att_1")

    assert read(stage.summary()) == expected


@pytest.mark.parametrize(
    ("knob", "expected"),
    [("vca_string_event_data", "5"), ("vca_null_event_data", None), ("vca_no_event_data", "absent")],
)
def test_event_data_can_drift(stage, knob, expected):
    stage = stage()
    stage.simulator.set_fault(knob)

    stage.dial(ASK, destination="+6581230008")

    assert stage.webhooks("/vca")[0].json()["payload"].get("eventData", "absent") == expected


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
