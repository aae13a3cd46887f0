"""Other shapes 8x8's bodies have been seen in: older spellings, fillers and types. Bodies are copied."""

from __future__ import annotations

from typing import Any, Final

from deploy.simulator.payloads import Body

OLD_SPELLINGS: Final = {"NO_ANSWER": "NO ANSWER", "CANCELED": "CANCELLED"}
UNKNOWN_STATUS: Final = "REROUTED"


def old_casing(summary: Body) -> Body:
    """CallA, SourceRefId "null", NO ANSWER, CANCELLED, and numbers as strings, all at once."""
    payload = dict(summary["payload"])
    payload["sessionStatus"] = _old(payload["sessionStatus"])
    payload["callCount"] = str(payload["callCount"])
    if "errorDetails" in payload:
        payload["errorDetails"] = {
            **payload["errorDetails"],
            "errorCode": str(payload["errorDetails"]["errorCode"]),
        }
    leg = {name: value for name, value in payload["details"]["callA"].items() if name != "sourceRefId"}
    leg |= {
        "SourceRefId": "null",
        "callStatus": _old(leg["callStatus"]),
        "callDuration": str(leg["callDuration"]),
    }
    payload["details"] = {"CallA": leg}
    return {**summary, "payload": payload}


def _old(status: Any) -> Any:
    return OLD_SPELLINGS.get(status, status)


def without_echo(summary: Body) -> Body:
    """An account without the clientRequestId release."""
    payload = summary["payload"]
    kept = {name: value for name, value in payload.items() if name not in ("clientRequestId", "clientBatchId")}
    return {**summary, "payload": kept}


def unknown_status(summary: Body) -> Body:
    """A sessionStatus nobody has heard of."""
    return {**summary, "payload": {**summary["payload"], "sessionStatus": UNKNOWN_STATUS}}


def string_event_data(action: Body) -> Body:
    """Digits as a plain string, as version 2 sent them; null when there are none."""
    payload = action["payload"]
    if "eventData" not in payload:
        return action
    return {**action, "payload": {**payload, "eventData": (payload["eventData"] or {}).get("dtmf")}}


def null_event_data(action: Body) -> Body:
    """No event data, said aloud."""
    return {**action, "payload": {**action["payload"], "eventData": None}}


def no_event_data(action: Body) -> Body:
    """No event data at all."""
    kept = {name: value for name, value in action["payload"].items() if name != "eventData"}
    return {**action, "payload": kept}
