"""Replies to callflows: the documented ones, and the broken ones the fault knobs ask for."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any, Final

from aiohttp import web

from deploy.simulator.call import Call, new_id
from deploy.simulator.codes import Refusal
from deploy.simulator.faults import Fault, Knob

_JSON: Final = {"Content-Type": "application/json"}
_NEVER_S: Final = 3600.0  # longer than any client waits
_BAD_GATEWAY: Final[dict[str, Any]] = {
    "status": 502,
    "text": "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
    "content_type": "text/html",
}
_GARBAGE: Final = b'\x00\xff\xfe{"sessionId": nonsense'


def as_json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=json.dumps(body).encode(), status=status, headers={**_JSON, **(headers or {})})


def created(call: Call) -> dict[str, Any]:
    """8x8's body for an accepted callflow."""
    body = {
        "sessionId": call.session_id,
        "sessionStatus": "CREATED",
        "callFlowRequestId": call.callflow_request_id,
        "statusCode": 1,
        "statusMessage": "Created",
    }
    if call.callflow.valid_until_text is not None:
        body["validUntil"] = call.callflow.valid_until_text
    return body


def not_created(refusal: Refusal) -> dict[str, Any]:
    """8x8's body for a refused one."""
    return {
        "sessionStatus": "NOT_CREATED",
        "callFlowRequestId": new_id(),
        "statusCode": refusal.code,
        "statusMessage": refusal.message,
    }


def refused(refusal: Refusal) -> web.Response:
    """Answer with a refusal under the HTTP status of its code."""
    return as_json(not_created(refusal), status=refusal.http_status)


def refusal_key(fault: Fault) -> str:
    """Name a request spoilt by *fault* in the ledger's counts: its status code, else the knob."""
    if fault.knob in (Knob.REFUSED, Knob.OK_NOT_CREATED, Knob.ERROR_EMPTY):
        return str(fault.code)
    fixed = {Knob.RATE_LIMITED: "429", Knob.ERROR_NOT_CREATED: "500", Knob.BAD_GATEWAY_HTML: "502"}
    return fixed.get(fault.knob, str(fault.knob))


async def broken(request: web.Request, fault: Fault, call: Call | None) -> web.StreamResponse:
    """Reply as *fault* says; *call* is the session that exists all the same, if any."""
    match fault.knob:
        case Knob.REPLY_LOST:
            return reset_connection(request)
        case Knob.REPLY_NEVER:
            await asyncio.sleep(_NEVER_S)
            return reset_connection(request)
        case Knob.CUT_BODY:
            return await _cut(request, call)
        case Knob.GARBAGE_BODY:
            return web.Response(body=_GARBAGE, headers=_JSON)
        case _:
            return _readable(fault)


def _readable(fault: Fault) -> web.Response:
    """A whole HTTP reply, though not the one hoped for."""
    match fault.knob:
        case Knob.REFUSED:
            return refused(Refusal.of(fault.code))
        case Knob.RATE_LIMITED:
            wait = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
            return as_json(not_created(Refusal.of(429)), status=429, headers=wait)
        case Knob.ERROR_NOT_CREATED:
            return refused(Refusal.of(500))
        case Knob.OK_NOT_CREATED:
            return as_json(not_created(Refusal.of(fault.code)))
        case Knob.OK_WITHOUT_SESSION_ID:
            return as_json({"sessionStatus": "CREATED", "statusCode": 1, "statusMessage": "Created"})
        case _:
            is_empty = fault.knob is Knob.ERROR_EMPTY
            return web.Response(status=fault.code) if is_empty else web.Response(**_BAD_GATEWAY)


def reset_connection(request: web.Request) -> web.Response:
    """Drop the connection with a TCP reset; the response returned is never sent."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:  # lingering zero seconds turns the close into a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _cut(request: web.Request, call: Call | None) -> web.StreamResponse:
    body = json.dumps(created(call) if call is not None else {"sessionStatus": "NOT_CREATED"}).encode()
    response = web.StreamResponse(headers=_JSON)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
