"""Step 2 of 5: ask 8x8 to call the customers."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from shared import jobs
from shared.db.group_commit import Bounds, GroupCommitter
from shared.db.queries import dial, moves
from shared.ids import new_id
from shared.lifecycle import Event, Lane, Move
from shared.sealing import Unsealable
from shared.services import Services, pace_of, timing_of
from shared.verdict import Dialed, after_dial
from shared.voice_api import callflow
from shared.voice_api.codes import Disposition, Reason, Verdict
from workers.senders import Senders
from workers.single_flight import SingleFlight

#: One run looks no longer than this, in seconds: the process may have to drain. The last look rings again.
_RUN_S: Final = 15
#: Rows in one claim at most.
_CLAIM_LIMIT: Final = 100
#: Look again this soon, in seconds, while the pace or the cap holds messages back.
_HELD_BACK_S: Final = 0.05

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Sent:
    """One dial attempt with its answer, on its way into the database."""

    call: dial.ClaimedCall
    answer: Verdict
    move: Move


class PlaceCalls:
    """Claim, commit, POST, record. Any number of processes may; the rows decide, not the doorbells."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pace = pace_of(services.settings)
        self._timing = timing_of(services.settings)
        self.senders = Senders("dial", services.settings.dial_senders)
        self._flights = {lane: SingleFlight() for lane in Lane}
        self._lost_claims: list[str] = []
        self._results: GroupCommitter[_Sent, None] = GroupCommitter(
            "dial-results",
            self._record,
            bounds=Bounds(batch=200, waiting=100_000, patience_s=20, pause_s=0),
        )
        services.database.run(lambda connection: dial.open_pace(connection, self._pace.subaccount_id))

    def __call__(self, lane: Lane) -> None:
        """Dial until the lane is empty, held back for long, or the time of one run is over."""
        self._flights[lane].run(partial(self._run, lane))

    def drain(self) -> None:
        """Finish what was claimed, and record it."""
        self.senders.drain()
        self._results.close()

    def _run(self, lane: Lane) -> None:
        stop_at = time.monotonic() + _RUN_S
        wanted = 1
        while time.monotonic() < stop_at:
            free = self.senders.wait_for_free(wanted, stop_at - time.monotonic())
            if free < wanted:
                return
            asked = min(free, _CLAIM_LIMIT)
            claim = self._claim(lane, asked)
            if not claim.waiting or (not claim.calls and claim.room):
                return  # empty, or only busy destinations wait: their end, or the sweeper, rings again
            if claim.room < asked:
                self.senders.pause(_HELD_BACK_S)
            # With all senders taken, wait for half of them: claims stay few and large.
            wanted = max(1, self.senders.limit // 2) if len(claim.calls) == asked else 1
        self._services.doorbell.ring(jobs.PLACE_CALLS[lane])

    def _claim(self, lane: Lane, wanted: int) -> dial.Claim:
        self._give_back_lost_claims()
        claim_id = new_id("claim")
        claimed_at = time.monotonic()
        try:
            claim = self._services.database.run(
                lambda connection: dial.claim(connection, self._pace, lane, wanted=wanted, claim_id=claim_id),
                alone=True,
            )
        except Exception:
            # The answer may be lost, not the claim: what it took was surely not dialled.
            self._lost_claims.append(claim_id)
            raise
        for call in claim.calls:
            self.senders.start(partial(self._dial, call, claimed_at))
        return claim

    def _give_back_lost_claims(self) -> None:
        while self._lost_claims:
            claim_id = self._lost_claims[0]
            self._services.database.run(partial(_give_back, claim_id=claim_id))
            self._lost_claims.remove(claim_id)

    def _dial(self, call: dial.ClaimedCall, claimed_at: float) -> None:
        answer = self._answer(call, claimed_at)
        now = call.now + timedelta(seconds=time.monotonic() - claimed_at)
        dialed = Dialed(
            message_id=call.message_id,
            attempt_id=call.attempt_id,
            number=call.number,
            valid_until=call.valid_until,
            speaking_s=call.plays * call.seconds_per_play,
            redial_unknown=call.redial_unknown,
        )
        move = after_dial(dialed, answer, self._timing, now=now, luck=random.random())  # noqa: S311  jitter
        if answer.disposition is Disposition.UNKNOWN:
            log.warning("dial_unknown", message_id=call.message_id, reason=answer.reason)
        self._results.submit([_Sent(call, answer, move)])

    def _answer(self, call: dial.ClaimedCall, claimed_at: float) -> Verdict:
        """What 8x8 answered. Any failure before the POST surely placed no call; any after it may have."""
        settings = self._services.settings
        # One whole POST must fit between the last look and the lease's end or the deadline.
        lease_s = settings.call_lease_seconds - settings.dial_timeout_seconds - 1
        valid_s = (call.valid_until - call.now).total_seconds()
        give_up_at = claimed_at + min(lease_s, valid_s)
        try:
            body = self._callflow(call)
        except (Unsealable, ValueError) as error:
            log.error("callflow_not_built", message_id=call.message_id, error=type(error).__name__)  # noqa: TRY400
            return Verdict(Disposition.REFUSED, Reason.CALLFLOW_INVALID)
        try:
            return self._services.voice_api.send_callflow(body, lambda: time.monotonic() < give_up_at)
        except Exception:
            log.exception("dial_failed", message_id=call.message_id)
            return Verdict(Disposition.UNKNOWN, Reason.NO_REPLY)

    def _callflow(self, call: dial.ClaimedCall) -> bytes:
        content = json.loads(self._services.sealer.unseal(call.content, row=call.message_id))
        outbound = callflow.OutboundCall(
            source=call.source,
            destination=content["destination"],
            speech=callflow.Speech(content["text"], call.voice, call.speed, call.plays),
            valid_until=call.valid_until,
            client_request_id=call.attempt_id if self._services.settings.send_client_request_id else None,
            interruptible=call.interruptible,
        )
        return callflow.build(outbound)

    def _record(self, sent: Sequence[_Sent], patience_s: float) -> list[None]:
        results = [_result(one) for one in sent]
        moved, early = self._services.database.run(
            lambda connection: dial.record(connection, results), patience_s=patience_s
        )
        self._pause_refused(sent)
        if any(one.callbacks for one in moved):
            self._services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        if early:
            self._services.doorbell.ring(jobs.RECONCILE_EVENTS)
        return [None] * len(sent)

    def _pause_refused(self, sent: Sequence[_Sent]) -> None:
        """An account-wide refusal meets every message alike: pause instead of failing them one by one."""
        refused = {
            ("subaccount", self._pace.subaccount_id, one.answer.reason)
            for one in sent
            if one.answer.disposition is Disposition.BLOCKED_ACCOUNT
        } | {
            ("source", one.call.source, one.answer.reason)
            for one in sent
            if one.answer.disposition is Disposition.BLOCKED_SOURCE
        }
        for scope, name, reason in refused:
            self._services.database.run(partial(self._open_breaker, scope=scope, name=name, reason=str(reason)))

    def _open_breaker(self, connection: Connection, *, scope: str, name: str, reason: str) -> None:
        pause_s = self._services.settings.breaker_seconds
        failures = dial.open_breaker(connection, scope, name, reason=reason, pause_s=pause_s)
        if failures is not None:
            log.critical("dialing_paused", scope=scope, name_=name, reason=reason, failures=failures)


def _give_back(connection: Connection, *, claim_id: str) -> None:
    lost = dial.of_claim(connection, claim_id)
    returned = [
        Move(message_id, Event.DIAL_POSTPONED, attempt_id, reason=Reason.LEASE_LOST, due_in_s=0)
        for message_id, attempt_id in lost
    ]
    moves.apply(connection, returned)
    log.info("claim_given_back", messages=len(lost))


def _result(sent: _Sent) -> dial.DialResult:
    answer = sent.answer
    return dial.DialResult(
        attempt_id=sent.call.attempt_id,
        disposition=answer.disposition,
        reason=answer.reason,
        http_status=None,
        status_code=answer.status_code,
        status_message=answer.status_message or None,
        session_id=answer.session_id,
        move=sent.move,
    )
