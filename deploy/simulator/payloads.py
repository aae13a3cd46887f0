"""The bodies 8x8 posts, exactly as documented: a call's VCA (action wanted) and VSS (summary at the end)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from deploy.simulator.call import Call, new_id
from deploy.simulator.codes import CALL_ERRORS
from deploy.simulator.voices import country_of

Body = dict[str, Any]

VIRTUAL_NUMBER_REF: Final = "vn-sim-01"
_ACTION_NAMES: Final = {
    "makeCall": "MAKE_CALL",
    "say": "SAY",
    "playFile": "PLAY_FILE",
    "sayAndCapture": "SAY_AND_CAPTURE",
    "hangup": "HANGUP",
}
# A leg knows fewer words than its session: whatever was answered has completed.
_LEG_STATUS: Final[Mapping[str | None, str]] = {
    "NO_ANSWER": "NO_ANSWER",
    "BUSY": "BUSY",
    "CANCELED": "CANCELED",
    "FAILED": "FAILED",
    "ERROR": "ERROR",
    "UNSUBSCRIBED_CONTACT": "CANCELED",
}


def leg_status(call: Call) -> str:
    """The ``callStatus`` of the call's only leg."""
    return "COMPLETED" if call.connected_s is not None else _LEG_STATUS.get(call.session_status, "FAILED")


def in_seconds(moment: datetime) -> str:
    """VSS precision."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_milliseconds(moment: datetime) -> str:
    """VCA precision."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _numbers(call: Call) -> Body:
    callflow = call.callflow
    reference = "sourceRefId" if call.direction == "OUTBOUND" else "destinationRefId"
    return {
        "source": callflow.source,
        "destination": callflow.destination,
        "sourceFormat": "MSISDN",
        "destinationFormat": "MSISDN",
        "sourceCountryCode": country_of(callflow.source),
        "destinationCountryCode": country_of(callflow.destination),
        reference: VIRTUAL_NUMBER_REF,
    }


def action_request(call: Call, digits: str | None = None) -> Body:
    """VCA: the queue is used up and the leg is still up, or somebody calls in."""
    is_inbound = call.direction == "INBOUND"
    payload: Body = {
        "eventId": new_id(),
        "callId": call.call_id,
        "sessionId": call.session_id,
        "subAccountId": call.subaccount_id,
        "callStatus": "CALL_RECEIVED" if is_inbound and not call.has_asked else "ACTION_COMPLETED",
        "callDirection": call.direction,
        "callType": "PSTN",
        **_numbers(call),
        "callDuration": 0,
        "eventData": {"dtmf": digits},
        "sipCode": 200,
        "timestamp": in_milliseconds(call.at(call.now_s)),
    }
    if payload["callStatus"] == "CALL_RECEIVED":
        del payload["eventData"]
    if call.client_action_id is not None:
        payload["clientActionId"] = call.client_action_id
    return {
        "payload": payload,
        "namespace": "VOICE",
        "eventType": "CALL_ACTION",
        "description": "Action request of a call",
    }


def session_summary(call: Call, *, echoes_client_ids: bool = True) -> Body:
    """VSS: how the session ended."""
    started = call.at(call.initiated_s)
    if call.connected_s is not None:  # in 8x8's own samples an answered session starts after its leg
        started = call.at(min(call.initiated_s + 1, call.now_s))
    payload: Body = {
        "sessionId": call.session_id,
        "subAccountId": call.subaccount_id,
        "sessionStatus": call.session_status,
        "startTime": in_seconds(started),
        "endTime": in_seconds(call.at(call.now_s)),
        "lastAction": _ACTION_NAMES[call.last_action],
        "callCount": 1,
    }
    if echoes_client_ids and call.callflow.client_request_id is not None:
        payload["clientRequestId"] = call.callflow.client_request_id
    if echoes_client_ids and call.callflow.client_batch_id is not None:
        payload["clientBatchId"] = call.callflow.client_batch_id
    if call.error_code is not None:
        payload["errorDetails"] = _error_details(call, call.error_code)
    payload["details"] = {"callA": _leg(call)}
    summary = {
        "payload": payload,
        "namespace": "VOICE",
        "eventType": "SESSION_SUMMARY",
        "description": "Summary of a completed call session",
    }
    return {**summary, "version": 5} if call.has_asked else summary


def _error_details(call: Call, error_code: int) -> Body:
    details: Body = {"errorMsg": CALL_ERRORS[error_code], "errorCode": error_code}
    if call.has_asked:
        details = {
            "callFlowRequestId": call.callflow_request_id,
            "action": _ACTION_NAMES[call.last_action],
            **details,
        }
    return details


def _leg(call: Call) -> Body:
    leg: Body = {
        "callId": call.call_id,
        "callDirection": call.direction,
        "callType": "PSTN",
        "initiatedTimestamp": in_seconds(call.at(call.initiated_s)),
    }
    if call.connected_s is not None:
        leg["connectedTimestamp"] = in_seconds(call.at(call.connected_s))
    leg["disconnectedTimestamp"] = in_seconds(call.at(call.now_s))
    leg |= _numbers(call)
    leg["callStatus"] = leg_status(call)
    leg["callDuration"] = int(call.connected_for_s)
    if call.connected_s is not None and call.error_code is None:
        leg["callQuality"] = {"mos": round(3.6 + call.luck, 1), "packetLossRate": 0.001, "jitter": 18}
    return leg
