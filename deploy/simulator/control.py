"""The simulator's own routes under /sim/: what a phone does, what goes wrong, what has happened."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from deploy.simulator.account import Account
from deploy.simulator.faults import FaultError
from deploy.simulator.outcomes import UnknownBehaviour, behaviours_named, table
from deploy.simulator.replies import as_json
from deploy.simulator.validation import with_plus


class ControlError(ValueError):
    """A control request cannot be read; answered with 400 and this text."""


class Control:
    """The control routes of one account. They ask for no key: bind the simulator to loopback."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def add_routes(self, app: web.Application) -> None:
        """Put the control routes into *app*."""
        app.router.add_get("/sim/outcomes", self.show_outcomes)
        app.router.add_get("/sim/faults", self.show_faults)
        app.router.add_put("/sim/faults", self.put_faults)
        app.router.add_put("/sim/destinations/{number}", self.put_destination)
        app.router.add_put("/sim/key", self.put_key)
        app.router.add_post("/sim/inbound", self.call_in)
        app.router.add_post("/sim/reset", self.reset)
        app.router.add_get("/sim/ledger", self.show_ledger)
        app.router.add_get("/sim/ledger/summary", self.show_summary)

    async def show_outcomes(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """The suffix table."""
        return as_json(table())

    async def show_faults(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """The knobs that are on, with their hits."""
        return as_json(self._account.faults.as_json())

    async def put_faults(self, request: web.Request) -> web.Response:
        """Turn exactly these knobs on, for every destination."""
        try:
            self._account.faults.replace(await _body(request))
        except (FaultError, ControlError) as error:
            return _bad(error)
        return as_json(self._account.faults.as_json())

    async def put_destination(self, request: web.Request) -> web.Response:
        """``{"behaviours": [...], "faults": {...}}`` for one number; a member left out changes nothing."""
        number = with_plus(request.match_info["number"])
        try:
            body = await _body(request, "behaviours", "faults")
            plan = behaviours_named(_names(body["behaviours"])) if "behaviours" in body else None
            if "faults" in body:
                self._account.faults.replace(body["faults"], destination=number)
            if plan is not None:
                self._account.plan(number, plan)
        except (FaultError, UnknownBehaviour, ControlError) as error:
            return _bad(error)
        return as_json({"destination": number, **body})

    async def put_key(self, request: web.Request) -> web.Response:
        """``{"apiKey": ...}``: from now on the old key gets 401."""
        try:
            self._account.api_key = _text(await _body(request, "apiKey"), "apiKey")
        except ControlError as error:
            return _bad(error)
        return as_json({"changed": True})

    async def call_in(self, request: web.Request) -> web.Response:
        """``{"from": ..., "to": ...}``: somebody calls our number back."""
        try:
            body = await _body(request, "from", "to")
            call = self._account.call_in(_text(body, "from"), _text(body, "to"))
        except ControlError as error:
            return _bad(error)
        return as_json({"sessionId": call.session_id}, status=202)

    async def reset(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Forget everything but the registered webhooks."""
        await self._account.reset()
        return as_json({"reset": True})

    async def show_ledger(self, request: web.Request) -> web.Response:
        """Every accepted callflow, or one destination's, and the counts of refused requests."""
        number = request.query.get("destination")
        ledger = self._account.ledger
        entries = list(ledger.entries) if number is None else ledger.of(with_plus(number.strip()))
        return as_json({"accepted": [entry.as_json() for entry in entries], "refused": dict(ledger.refused)})

    async def show_summary(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """The figures of the ledger."""
        return as_json(self._account.ledger.summary())


async def _body(request: web.Request, *known: str) -> dict[str, Any]:
    """Read an object with members *known* only; none given allows any."""
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise ControlError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be an object")
    unknown = [name for name in body if known and name not in known]
    if unknown:
        raise ControlError(f"unknown member {', '.join(unknown)}; known are {', '.join(known)}")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ControlError(f"{name}: must be a text")
    return value


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ControlError("behaviours: must be a list of names")
    return value


def _bad(error: ValueError) -> web.Response:
    return as_json({"error": str(error)}, status=400)
