"""The webhooks' bodies against the documented ones, and the shapes they drift into."""

import uuid
from datetime import UTC, datetime

import pytest

from deploy.simulator import drift
from deploy.simulator.call import Call, new_id
from deploy.simulator.payloads import action_request, session_summary
from deploy.simulator.validation import Callflow

CALLFLOW = Callflow(
    source="+6531580001",
    destination="+6581234567",
    actions=[],
    client_request_id="att_1",
    client_batch_id="b_1",
)


def a_call(**changes):
    facts = {
        "callflow": CALLFLOW,
        "subaccount_id": "acme_voice",
        "accepted_at": datetime(2026, 10, 5, 9, 12, 9, tzinfo=UTC),
        "session_id": "s1",
        "call_id": "c1",
        "callflow_request_id": "r1",
    }
    return Call(**facts | changes)


def an_answered_call(**changes):
    facts = {
        "connected_s": 12.3,
        "now_s": 39.0,
        "session_status": "COMPLETED",
        "last_action": "hangup",
        "luck": 0.8,
    }
    return a_call(**facts | changes)


NUMBERS = {
    "source": "+6531580001",
    "destination": "+6581234567",
    "sourceFormat": "MSISDN",
    "destinationFormat": "MSISDN",
    "sourceCountryCode": "SG",
    "destinationCountryCode": "SG",
    "sourceRefId": "vn-sim-01",
}


def test_the_summary_of_an_answered_call_is_as_documented():
    assert session_summary(an_answered_call()) == {
        "payload": {
            "sessionId": "s1",
            "subAccountId": "acme_voice",
            "sessionStatus": "COMPLETED",
            "startTime": "2026-10-05T09:12:10Z",
            "endTime": "2026-10-05T09:12:48Z",
            "lastAction": "HANGUP",
            "callCount": 1,
            "clientRequestId": "att_1",
            "clientBatchId": "b_1",
            "details": {
                "callA": {
                    "callId": "c1",
                    "callDirection": "OUTBOUND",
                    "callType": "PSTN",
                    "initiatedTimestamp": "2026-10-05T09:12:09Z",
                    "connectedTimestamp": "2026-10-05T09:12:21Z",
                    "disconnectedTimestamp": "2026-10-05T09:12:48Z",
                    **NUMBERS,
                    "callStatus": "COMPLETED",
                    "callDuration": 26,
                    "callQuality": {"mos": 4.4, "packetLossRate": 0.001, "jitter": 18},
                }
            },
        },
        "namespace": "VOICE",
        "eventType": "SESSION_SUMMARY",
        "description": "Summary of a completed call session",
    }


@pytest.mark.parametrize("status", ["NO_ANSWER", "BUSY", "CANCELED", "FAILED"])
def test_the_summary_of_an_unanswered_call_has_no_connection(status):
    payload = session_summary(a_call(now_s=45, session_status=status))["payload"]

    leg = payload["details"]["callA"]
    assert (payload["sessionStatus"], leg["callStatus"], leg["callDuration"]) == (status, status, 0)
    assert (payload["startTime"], payload["endTime"]) == ("2026-10-05T09:12:09Z", "2026-10-05T09:12:54Z")
    assert payload["lastAction"] == "MAKE_CALL"
    assert not {"connectedTimestamp", "callQuality"} & set(leg)


def test_an_error_before_dialling_starts_and_ends_at_once():
    payload = session_summary(a_call(session_status="ERROR", error_code=-2010))["payload"]

    assert payload["startTime"] == payload["endTime"]
    assert payload["errorDetails"] == {"errorMsg": "The trunk capacity has been exceeded", "errorCode": -2010}
    assert payload["details"]["callA"]["callStatus"] == "ERROR"


def test_an_error_after_a_bad_reply_shows_the_connected_leg_and_what_was_running():
    call = an_answered_call(session_status="ERROR", error_code=-2003, last_action="sayAndCapture", has_asked=True)

    summary = session_summary(call)

    leg = summary["payload"]["details"]["callA"]
    assert summary["version"] == 5
    assert summary["payload"]["errorDetails"] == {
        "callFlowRequestId": "r1",
        "action": "SAY_AND_CAPTURE",
        "errorMsg": "The call flow provided is invalid",
        "errorCode": -2003,
    }
    assert leg["callStatus"] == "COMPLETED"
    assert leg["connectedTimestamp"] == "2026-10-05T09:12:21Z"


@pytest.mark.parametrize("status", ["COMPLETED_UNSUBSCRIBED", "COMPLETED_UNSUB_ERROR", "DIVERTED"])
def test_whatever_an_answered_session_is_called_its_leg_has_completed(status):
    payload = session_summary(an_answered_call(session_status=status))["payload"]

    assert (payload["sessionStatus"], payload["details"]["callA"]["callStatus"]) == (status, "COMPLETED")


def test_client_ids_are_echoed_only_when_given_and_allowed():
    anonymous = Callflow(source="+6531580001", destination="+6581234567", actions=[])

    not_given = session_summary(an_answered_call(callflow=anonymous))["payload"]
    not_allowed = session_summary(an_answered_call(), echoes_client_ids=False)["payload"]

    assert not {"clientRequestId", "clientBatchId"} & (set(not_given) | set(not_allowed))


@pytest.mark.parametrize("digits", ["5", None])
def test_a_call_action_after_the_queue_is_as_documented(digits):
    body = action_request(an_answered_call(now_s=32.318), digits)

    payload = body["payload"]
    event_id = payload.pop("eventId")
    assert uuid.UUID(event_id).version == 1
    assert payload == {
        "callId": "c1",
        "sessionId": "s1",
        "subAccountId": "acme_voice",
        "callStatus": "ACTION_COMPLETED",
        "callDirection": "OUTBOUND",
        "callType": "PSTN",
        **NUMBERS,
        "callDuration": 0,
        "eventData": {"dtmf": digits},
        "sipCode": 200,
        "timestamp": "2026-10-05T09:12:41.318Z",
    }
    assert (body["namespace"], body["eventType"], body["description"]) == (
        "VOICE",
        "CALL_ACTION",
        "Action request of a call",
    )


def test_a_later_call_action_echoes_the_client_action_id():
    payload = action_request(an_answered_call(client_action_id="again"))["payload"]

    assert payload["clientActionId"] == "again"


def test_an_inbound_call_is_announced_without_digits_and_with_our_number_as_destination():
    call = a_call(direction="INBOUND", connected_s=0.0)

    payload = action_request(call)["payload"]

    assert (payload["callStatus"], payload["callDirection"]) == ("CALL_RECEIVED", "INBOUND")
    assert payload["destinationRefId"] == "vn-sim-01"
    assert not {"eventData", "sourceRefId"} & set(payload)


def test_ids_are_time_based():
    assert uuid.UUID(new_id()).version == 1


@pytest.mark.parametrize(
    ("status", "spelled"), [("NO_ANSWER", "NO ANSWER"), ("CANCELED", "CANCELLED"), ("BUSY", "BUSY")]
)
def test_the_old_casing_changes_keys_spellings_fillers_and_types(status, spelled):
    summary = session_summary(a_call(session_status=status))

    payload = drift.old_casing(summary)["payload"]

    leg = payload["details"]["CallA"]
    assert list(payload["details"]) == ["CallA"]
    assert (payload["sessionStatus"], leg["callStatus"]) == (spelled, spelled)
    assert (leg["SourceRefId"], leg["callDuration"], payload["callCount"]) == ("null", "0", "1")
    assert "sourceRefId" not in leg
    assert summary["payload"]["details"]["callA"]["callStatus"] == status


def test_the_old_casing_makes_error_codes_texts():
    summary = session_summary(a_call(session_status="ERROR", error_code=-2001))

    assert drift.old_casing(summary)["payload"]["errorDetails"]["errorCode"] == "-2001"


def test_a_summary_can_lose_its_echo_or_carry_an_unknown_status():
    summary = session_summary(an_answered_call())

    mute, odd = drift.without_echo(summary), drift.unknown_status(summary)

    assert not {"clientRequestId", "clientBatchId"} & set(mute["payload"])
    assert odd["payload"]["sessionStatus"] == drift.UNKNOWN_STATUS
    assert summary["payload"]["clientRequestId"] == "att_1"


def test_event_data_can_be_a_text_null_or_absent():
    pressed = action_request(an_answered_call(), "5")

    assert drift.string_event_data(pressed)["payload"]["eventData"] == "5"
    assert drift.null_event_data(pressed)["payload"]["eventData"] is None
    assert "eventData" not in drift.no_event_data(pressed)["payload"]
    assert pressed["payload"]["eventData"] == {"dtmf": "5"}


def test_string_event_data_leaves_an_announcement_alone():
    announcement = action_request(a_call(direction="INBOUND"))

    assert drift.string_event_data(announcement) == announcement
