"""Step 2 of 5 for test messages: everything but the call. What 8x8 would say is made up, here and now."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from shared import jobs
from shared.db.queries import dial, pretend
from shared.db.queries.claim import give_back
from shared.db.queries.claimed import ClaimedCall
from shared.db.queries.inbox import RawEvent
from shared.ids import new_id
from shared.lifecycle import REPORTED, TRANSITIONS
from shared.sealing import Unopened, Unsealable
from shared.services import Services, timing_of
from shared.verdict import after_dial
from shared.voice_api import callflow, pretence
from shared.voice_api.codes import Disposition, Reason, Verdict
from shared.voice_api.events import glance
from workers import traces
from workers.single_flight import SingleFlight

_RUN_S: Final = 15
#: Rows in one claim at most, and the pause between two that are full, in seconds: who tests much leaves PostgreSQL to
#: those who ring phones.
_CLAIM_LIMIT: Final = 50
_REST_S: Final = 0.1
_INVALID: Final = pretence.PretendedReply(Verdict(Disposition.REFUSED, Reason.CALLFLOW_INVALID), None, 0)
_KEY_MISSING: Final = pretence.PretendedReply(Verdict(Disposition.NOT_SENT, Reason.KEY_MISSING), None, 0)

log = structlog.get_logger()


class PretendCalls:
    """Claim, commit, pretend, record. Nothing here knows the way to 8x8."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._doorbell = services.doorbell
        self._sealer = services.sealer
        self._timing = timing_of(services.settings)
        self._lease_s = services.settings.call_lease_seconds
        self._call_s = services.settings.test_call_seconds
        self.flight = SingleFlight()
        self._stopping = threading.Event()
        self._lost_claims: list[str] = []
        self._answered = traces.dialing(services.tracer, self._reply, lambda reply: reply.answer)

    def __call__(self) -> None:
        """Pretend until no test message is due, or the time of one run is over."""
        self.flight.run(self._run)

    def stop(self) -> None:
        """Take nothing new."""
        self._stopping.set()

    def _run(self) -> None:
        stop_at = time.monotonic() + _RUN_S
        while time.monotonic() < stop_at:
            if self._stopping.is_set():
                return
            calls = self.claim()
            if calls:
                self.record(calls)
            if len(calls) < _CLAIM_LIMIT:
                return
            self._stopping.wait(_REST_S)
        self._doorbell.ring(jobs.PRETEND_CALLS)

    def claim(self) -> list[ClaimedCall]:
        """Take due test messages; what a lost answer took is given back first."""
        while self._lost_claims:
            self._database.run(partial(give_back, claim_id=self._lost_claims[0]))
            self._lost_claims.pop(0)
        tried: list[str] = []

        def one_try(connection: Connection) -> list[ClaimedCall]:
            tried.append(new_id("claim"))
            return pretend.claim(connection, wanted=_CLAIM_LIMIT, lease_s=self._lease_s, claim_id=tried[-1])

        try:
            claimed = self._database.run(one_try, alone=True)
            tried.pop()
            return claimed
        finally:
            self._lost_claims += tried

    def record(self, calls: Sequence[ClaimedCall]) -> None:
        """Make up the answers of 8x8 and the webhooks to come, and store both."""
        made = [(call, self._answered(call)) for call in calls]
        results = [self._result(call, reply.answer) for call, reply in made]
        later = [self._later(reply.summary, reply.after) for _, reply in made if reply.summary is not None]
        self._database.run(lambda connection: pretend.record(connection, results, later))
        if any(TRANSITIONS[one.move.event].target in REPORTED for one in results):
            self._doorbell.ring(jobs.DELIVER_CALLBACKS)
        if self._call_s == 0:
            self._doorbell.ring(jobs.RECONCILE_EVENTS)

    def _reply(self, call: ClaimedCall) -> pretence.PretendedReply:
        try:
            content = json.loads(self._sealer.unseal(call.content, row=call.message_id))
            callflow.build(
                callflow.OutboundCall(
                    source=call.source,
                    destination=content["destination"],
                    speech=callflow.Speech(content["text"], call.voice, call.speed, call.plays),
                    valid_until=call.valid_until,
                    client_request_id=None,
                    interruptible=call.interruptible,
                )
            )
        except Unopened:
            # Of workers with different keys while it is changed another takes it, as with live calls.
            log.error("data_key_missing", **call.ids)  # noqa: TRY400  the place says nothing
            return _KEY_MISSING
        except (Unsealable, ValueError) as error:
            log.error("callflow_not_built", **call.ids, error=type(error).__name__)  # noqa: TRY400
            return _INVALID
        return pretence.pretend(
            pretence.PretendedDial(
                attempt_id=call.attempt_id,
                number=call.number,
                source=call.source,
                destination=content["destination"],
                speaking_s=call.plays * call.seconds_per_play,
                at=call.now,
            )
        )

    def _result(self, call: ClaimedCall, answer: Verdict) -> dial.DialResult:
        move = after_dial(call.dialed(), answer, self._timing, now=call.now, luck=random.random())  # noqa: S311  jitter
        return dial.DialResult(
            attempt_id=call.attempt_id,
            disposition=answer.disposition,
            reason=answer.reason,
            status_code=answer.status_code,
            status_message=answer.status_message or None,
            session_id=answer.session_id,
            move=move,
        )

    def _later(self, summary: bytes, after: int) -> pretend.LaterEvent:
        seen = glance(summary)
        sealed = self._sealer.seal(summary, row=seen.dedupe_key)
        return pretend.LaterEvent(RawEvent(seen.dedupe_key, sealed, seen.session_id), after * self._call_s)
