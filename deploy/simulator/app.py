"""
8x8's HTTP face: callflows, webhooks, speech profiles, numbers and exports.

Speed: about 1,300 callflows/s accepted, played and summed up on one core (745 us of CPU each, half of it the
summary's POST), 2,300/s with no webhook registered. Measured at ``time_scale`` 0 with 8,000 makeCall + say +
hangup over 32 kept connections; load and a bare asyncio sink were processes of their own on the same two
cores; CPython 3.11, aiohttp 3.14.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from deploy.simulator.account import Account
from deploy.simulator.codes import Refusal
from deploy.simulator.exports import ExportError, ExportJob, Exports, as_csv, new_job
from deploy.simulator.faults import REPLY_KNOBS, Fault, Knob
from deploy.simulator.payloads import in_milliseconds
from deploy.simulator.replies import as_json, broken, created, refusal_key, refused
from deploy.simulator.validation import Callflow, check_request, with_plus
from deploy.simulator.voices import SPEECH_PROFILES, country_of
from deploy.simulator.webhooks import Webhook, webhook_from

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DOWNLOAD_PATH = "/sim-exports/{job_id}.csv"
_DEFAULT_NUMBER = "+6531580001"  # shown when any caller id is allowed


class VoiceApi:
    """The routes of one account; each answers as the documents say, bearer key first."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._exports = Exports()

    def add_routes(self, app: web.Application) -> None:
        """Put 8x8's routes into *app*."""
        base = "/api/v1/subaccounts/{subaccount_id}"
        routes: list[tuple[str, str, Handler]] = [
            ("POST", "/callflows", self.create_callflow),
            ("GET", "/webhooks", self.list_webhooks),
            ("POST", "/webhooks", self.register_webhook),
            ("DELETE", "/webhooks/{kind}", self.remove_webhook),
            ("GET", "/speech-profiles", self.list_speech_profiles),
            ("GET", "/numbers", self.list_numbers),
            ("GET", "/numbers/{number}", self.show_number),
            ("POST", "/messages/exports", self.start_export),
            ("GET", "/messages/exports/{job_id}", self.show_export),
            ("DELETE", "/messages/exports/{job_id}", self.cancel_export),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, base + path, self._guarded(handler))
        app.router.add_route("GET", _DOWNLOAD_PATH, self.download_export)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            account = self._account
            if request.headers.get("Authorization") != f"Bearer {account.api_key}":
                return self._refuse(Refusal.of(401))
            if request.match_info["subaccount_id"] != account.settings.subaccount_id:
                return self._refuse(Refusal.of(404))
            return await handler(request)

        return guarded

    def _refuse(self, refusal: Refusal) -> web.Response:
        self._account.ledger.refuse(refusal.code)
        return refused(refusal)

    async def create_callflow(self, request: web.Request) -> web.StreamResponse:
        """Accept a callflow and play it, unless a rule or a knob is against it."""
        raw = await request.read()
        checked = check_request(raw, self._account.rules, now=datetime.now(UTC))
        number = checked.destination if isinstance(checked, Callflow) else None
        slow = self._account.faults.strike(Knob.SLOW_REPLY, number)
        fault = self._account.faults.strike_first(REPLY_KNOBS, number)
        if fault is not None and not fault.created:
            reply = await self._spoilt(request, fault, slow)
        elif isinstance(checked, Refusal):
            reply = self._refuse(checked)
        else:
            reply = await self._accepted(request, checked, raw, fault, slow)
        return reply

    async def _spoilt(self, request: web.Request, fault: Fault, slow: Fault | None) -> web.StreamResponse:
        """No session exists."""
        self._account.ledger.refuse(refusal_key(fault))
        await _wait_for(slow)
        return await broken(request, fault, None)

    async def _accepted(
        self, request: web.Request, callflow: Callflow, raw: bytes, fault: Fault | None, slow: Fault | None
    ) -> web.StreamResponse:
        """The session exists, whatever becomes of the reply."""
        call = self._account.new_call(callflow)
        early = self._account.faults.strike(Knob.VSS_BEFORE_REPLY, callflow.destination)
        playing = self._account.sessions.start(call, raw, time_scale=None if early is None else 0)
        if early is not None:
            await asyncio.shield(playing)
        await _wait_for(slow)
        return as_json(created(call)) if fault is None else await broken(request, fault, call)

    async def list_webhooks(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """All registrations, without their secrets."""
        return self._webhooks_reply()

    def _webhooks_reply(self) -> web.Response:
        webhooks = [webhook.as_json() for webhook in self._account.sessions.webhooks.values()]
        body = {
            "subAccountId": self._account.settings.subaccount_id,
            "count": len(webhooks),
            "webhooks": webhooks,
        }
        return as_json({**body, "statusCode": 0, "statusMessage": "ok"})

    async def register_webhook(self, request: web.Request) -> web.Response:
        """Register one type; over an existing one 422, as 8x8 advises to delete it first."""
        webhook = webhook_from(await _json_body(request))
        if isinstance(webhook, str):
            return _unprocessable(webhook)
        if webhook.kind in self._account.sessions.webhooks:
            return _unprocessable(f"type: {webhook.kind} is registered already")
        self._account.sessions.webhooks[webhook.kind] = webhook
        return self._webhooks_reply()

    async def remove_webhook(self, request: web.Request) -> web.Response:
        """Forget one type."""
        webhook: Webhook | None = self._account.sessions.webhooks.pop(request.match_info["kind"], None)
        if webhook is None:
            return _unprocessable("type: is not registered")
        body = {"subAccountId": self._account.settings.subaccount_id, **webhook.as_json(), "enabled": False}
        return as_json({**body, "statusCode": 0, "statusMessage": "deleted"})

    async def list_speech_profiles(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """The voices."""
        return as_json({"speechProfiles": SPEECH_PROFILES, "statusCode": 0, "statusMessage": "ok"})

    def _numbers(self) -> dict[str, dict[str, Any]]:
        numbers = sorted(self._account.settings.caller_ids or {_DEFAULT_NUMBER})
        return {
            number: {"number": number, "countryCode": country_of(number), "operationalStatus": "Active"}
            for number in numbers
        }

    async def list_numbers(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """The account's virtual numbers and their health."""
        numbers = list(self._numbers().values())
        return as_json({"totalNumbers": len(numbers), "virtualNumbers": numbers})

    async def show_number(self, request: web.Request) -> web.Response:
        """One virtual number."""
        number = self._numbers().get(with_plus(request.match_info["number"]))
        return as_json(number) if number is not None else as_json(_error(404, "Number not found"), status=404)

    async def start_export(self, request: web.Request) -> web.Response:
        """Start a job over the calls that have ended."""
        body = await _json_body(request) if request.can_read_body else {}
        refusal = self._account.faults.strike(Knob.EXPORT_REFUSED, None)
        if refusal is not None:
            asked = None if refusal.retry_after_s is None else {"Retry-After": str(int(refusal.retry_after_s))}
            return web.json_response(_error(refusal.code, "Refused"), status=refusal.code, headers=asked)
        try:
            job = new_job(body, self._account.sessions.finished, now=datetime.now(UTC))
        except ExportError as error:
            return as_json(_error(4000, str(error)), status=400)
        self._faulty(job)
        self._exports.add(job)
        return as_json({"jobId": job.job_id}, status=202)

    def _faulty(self, job: ExportJob) -> None:
        """What the knobs make of a job."""
        faults = self._account.faults
        if (late := faults.strike(Knob.EXPORT_LATE, None)) is not None:
            listed_until = job.created_at - timedelta(seconds=late.seconds)
            job.calls = [call for call in job.calls if call.accepted_at <= listed_until]
        if (ends := faults.strike(Knob.EXPORT_ENDS, None)) is not None:
            job.ends_as = ends.word
        if (split := faults.strike(Knob.EXPORT_SPLIT, None)) is not None:
            job.files = max(1, split.copies)

    async def show_export(self, request: web.Request) -> web.Response:
        """How far the job is."""
        job = self._exports.get(request.match_info["job_id"])
        if job is None or self._account.faults.strike(Knob.EXPORT_GONE, None) is not None:
            return as_json(_error(4018, "Invalid jobId"), status=404)
        return as_json(job.as_json(f"{request.url.origin()}{_DOWNLOAD_PATH.format(job_id=job.job_id)}"))

    async def cancel_export(self, request: web.Request) -> web.Response:
        """Give the job up."""
        job = self._exports.get(request.match_info["job_id"])
        if job is None:
            return as_json(_error(4018, "Invalid jobId"), status=404)
        job.is_cancelled = True
        return web.Response(status=204)

    async def download_export(self, request: web.Request) -> web.Response:
        """The CSV; its address is the secret, as with signed URLs."""
        job = self._exports.get(request.match_info["job_id"])
        if job is None:
            return as_json(_error(4018, "Invalid jobId"), status=404)
        faults = self._account.faults
        number = request.query.get("file", "0")
        text = await asyncio.to_thread(  # a long file takes seconds, and calls go on meanwhile
            as_csv,
            job.file(int(number)) if number.isdigit() else [],
            narrow=faults.strike(Knob.EXPORT_NARROW, None) is not None,
            drifted=faults.strike(Knob.EXPORT_DRIFTED, None) is not None,
        )
        if faults.strike(Knob.EXPORT_CUT, None) is not None:
            text = text[: text.rstrip().rindex(",", 0, -1) - 2]
        return web.Response(text=text, content_type="text/csv")


async def _wait_for(slow: Fault | None) -> None:
    if slow is not None:
        await asyncio.sleep(slow.seconds)


async def _json_body(request: web.Request) -> Any:
    """Parse the body; None when it is not JSON."""
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        return None


def _error(code: int, message: str) -> dict[str, Any]:
    """The general error body of 8x8's platform."""
    moment = in_milliseconds(datetime.now(UTC))
    return {"code": code, "message": message, "errorId": str(uuid.uuid4()), "timestamp": moment}


def _unprocessable(message: str) -> web.Response:
    """The webhooks' error body: statusCode is a text here."""
    moment = in_milliseconds(datetime.now(UTC))
    body = {"errorId": str(uuid.uuid4()), "statusCode": "1001", "statusMessage": message, "timestamp": moment}
    return as_json(body, status=422)
