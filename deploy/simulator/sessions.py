"""Running calls: one task for each session plays the script and posts what 8x8 would post."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine
from typing import Any

import aiohttp

from deploy.simulator import drift, phone
from deploy.simulator.call import Call
from deploy.simulator.codes import Refusal
from deploy.simulator.faults import VCA_KNOBS, Faults, Knob
from deploy.simulator.ledger import Entry, Ledger, WebhookAttempt
from deploy.simulator.payloads import Body, action_request, session_summary
from deploy.simulator.settings import SimulatorSettings
from deploy.simulator.validation import Action, check_reply
from deploy.simulator.webhooks import RETRY_WAITS_S, VSS_TIMEOUT_S, Answer, Webhook, post

MAX_CONNECTIONS = 400  # wide, as a slow webhook must not hold up other calls; below common file limits
_VSS_DRIFTS = {
    Knob.VSS_OLD_CASING: drift.old_casing,
    Knob.VSS_WITHOUT_ECHO: drift.without_echo,
    Knob.VSS_UNKNOWN_STATUS: drift.unknown_status,
}
_VCA_DRIFTS = {
    Knob.VCA_STRING_EVENT_DATA: drift.string_event_data,
    Knob.VCA_NULL_EVENT_DATA: drift.null_event_data,
    Knob.VCA_NO_EVENT_DATA: drift.no_event_data,
}


class Sessions:
    """All calls of the account: plays them, counts the trunks in use, posts their webhooks."""

    def __init__(self, settings: SimulatorSettings, ledger: Ledger, faults: Faults) -> None:
        self.settings = settings
        self.ledger = ledger
        self.faults = faults
        self.webhooks: dict[str, Webhook] = {}
        self.finished: list[Call] = []
        self.trunks_in_use = 0
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._luck = random.Random(settings.seed)  # noqa: S311  (no secret: it colours the call quality)

    def start(self, call: Call, body: bytes, *, time_scale: float | None = None) -> asyncio.Task[None]:
        """Write the session down and play it; *time_scale* None takes the settings' one."""
        call.luck = self._luck.random()
        entry = Entry(
            accepted_at=call.accepted_at,
            destination=call.callflow.destination,
            source=call.callflow.source,
            session_id=call.session_id,
            client_request_id=call.callflow.client_request_id,
            behaviour=call.behaviour_name,
            body=body,
            is_inbound=call.direction == "INBOUND",
        )
        self.ledger.accept(entry)
        return self._spawn(self._run(call, entry, self.settings.time_scale if time_scale is None else time_scale))

    async def stop(self) -> None:
        """Drop the calls that are running and close the connections."""
        await self.drop_all()
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def drop_all(self) -> None:
        """Cancel the calls that are running; no summary is sent for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.finished.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, call: Call, entry: Entry, scale: float) -> None:
        if call.direction == "INBOUND":
            call.connected_s = 0.0
            await self._converse(call, entry, [], scale)
        else:
            await self._dial(call, entry, scale)
        self.ledger.end(entry, call.session_status)
        self.finished.append(call)
        await self._summarise(call, entry, scale)

    async def _dial(self, call: Call, entry: Entry, scale: float) -> None:
        await _pass(call, self.settings.dial_delay_s, scale)
        call.initiated_s = call.now_s
        capacity = self.settings.trunk_capacity
        error_code = phone.refusal_at_dial(
            call.callflow,
            now=call.at(call.now_s),
            has_trunk=capacity is None or self.trunks_in_use < capacity,
            covered=self.settings.covered_countries,
        )
        if error_code is not None:
            call.session_status, call.error_code = "ERROR", error_code
            return
        self.trunks_in_use += 1
        try:
            await self._ring(call, entry, scale)
        finally:
            self.trunks_in_use -= 1

    async def _ring(self, call: Call, entry: Entry, scale: float) -> None:
        ring = phone.ring(call.behaviour, ring_s=self.settings.ring_s)
        await _pass(call, ring.seconds, scale)
        call.session_status, call.error_code = ring.session_status, ring.error_code
        if not ring.is_answered:
            return
        call.connected_s = call.now_s
        if call.behaviour.error_code is not None:
            call.error_code = call.behaviour.error_code
            return
        await self._converse(call, entry, call.callflow.actions, scale)

    async def _converse(self, call: Call, entry: Entry, actions: list[Action], scale: float) -> None:
        """Play, ask for more while the leg is up, play that; ends with the call's status set."""
        call.session_status = call.behaviour.session_status
        while True:
            stretch = phone.play(
                actions,
                call.behaviour,
                connected_for_s=call.connected_for_s,
                barge_in=self.settings.barge_in,
            )
            await _pass(call, stretch.seconds, scale)
            if actions:
                call.last_action = stretch.last_action
            vca = self._enabled("VCA")
            if not stretch.is_up or vca is None:
                return  # without a webhook nobody can say what comes next, so the leg is dropped
            reply = await self._ask(call, entry, vca, stretch.digits)
            if isinstance(reply, int):
                call.session_status, call.error_code = "ERROR", reply
                return
            actions = reply

    async def _ask(self, call: Call, entry: Entry, vca: Webhook, digits: str | None) -> list[Action] | int:
        """Post a VCA; return the next actions, or the error code that ends the session."""
        body = action_request(call, digits)
        call.has_asked = True
        fault = self.faults.strike_first(VCA_KNOBS, call.callflow.destination)
        if fault is not None:
            body = _VCA_DRIFTS[fault.knob](body)
        answer = await self._post(entry, vca, body, timeout_s=self.settings.vca_timeout_s)
        if answer.came_back != 200:
            return -2002
        reply = check_reply(answer.body)
        if isinstance(reply, Refusal):
            return -2003
        call.client_action_id = json.loads(answer.body).get("clientActionId")
        return reply

    async def _summarise(self, call: Call, entry: Entry, scale: float) -> None:
        number = call.callflow.destination
        if self._enabled("VSS") is None or self.faults.strike(Knob.VSS_DROPPED, number) is not None:
            return
        body = session_summary(call, echoes_client_ids=self.settings.echoes_client_ids)
        for knob, change in _VSS_DRIFTS.items():
            if self.faults.strike(knob, number) is not None:
                body = change(body)
        delayed = self.faults.strike(Knob.VSS_DELAYED, number)
        if delayed is not None:
            await asyncio.sleep(delayed.seconds)
        duplicated = self.faults.strike(Knob.VSS_DUPLICATED, number)
        copies = duplicated.copies if duplicated is not None else 1
        if copies == 1:
            await self._deliver(entry, body, scale)
        else:
            await asyncio.gather(*(self._deliver(entry, body, scale) for _ in range(copies)))

    async def _deliver(self, entry: Entry, body: Body, scale: float) -> None:
        """Post a VSS until it is taken or the waits are used up."""
        for wait_s in (0.0, *(RETRY_WAITS_S if self.settings.retries_vss else ())):
            if wait_s:
                await asyncio.sleep(wait_s * scale)
            vss = self._enabled("VSS")
            if vss is None or (await self._post(entry, vss, body, timeout_s=VSS_TIMEOUT_S)).is_ok:
                return

    async def _post(self, entry: Entry, webhook: Webhook, body: Body, *, timeout_s: float) -> Answer:
        if self._http is None:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS))
        answer = await post(self._http, webhook, body, timeout_s=timeout_s)
        self.ledger.sent(entry, WebhookAttempt(webhook.kind, answer.sent_at, answer.came_back))
        return answer

    def _enabled(self, kind: str) -> Webhook | None:
        webhook = self.webhooks.get(kind)
        return webhook if webhook is not None and webhook.is_enabled else None


async def _pass(call: Call, seconds: float, scale: float) -> None:
    """Let the story's time pass, and the real one as far as *scale* says."""
    call.now_s += seconds
    await asyncio.sleep(seconds * scale)
