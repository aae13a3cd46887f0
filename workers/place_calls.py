"""Step 2 of 5: ask 8x8 to call the customers."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from shared import failpoints, jobs, quiet
from shared.db.group_commit import Bounds, GroupCommitter
from shared.db.queries import claim, daily_calls, dial
from shared.db.queries.claimed import Claim, ClaimedCall
from shared.ids import new_id
from shared.lifecycle import REPORTED, TRANSITIONS, TYPES, Lane
from shared.quiet import Quiet
from shared.rest import Rest
from shared.sealing import Unopened, Unsealable
from shared.services import Services, pace_of, timing_of
from shared.stops import Stop
from shared.verdict import after_dial
from shared.voice_api import callflow
from shared.voice_api.codes import Disposition, Reason, Verdict
from workers import failover, traces
from workers.dialled import NotMade, Sent, refused
from workers.pacing import slow_down
from workers.senders import Senders
from workers.single_flight import SingleFlight
from workers.stopped_calls import Switches, put_back

#: One run looks no longer than this, in seconds: the process may have to drain. The last look rings again.
_RUN_S: Final = 15
#: Rows in one claim at most.
_CLAIM_LIMIT: Final = 100
#: Above 500 dials a second claims come at this distance, in seconds.
_REST_ROW_S: Final = 0.002
_REST_S: Final = 0.02
#: With more waiting than senders, a claim waits for half of them to be free, or so long: claims stay few and large.
_GATHER_S: Final = 0.02
#: Look again this soon, in seconds, while the pace or the cap holds messages back; after twice that, if it gave none.
_HELD_BACK_S: Final = 0.025
#: And at least this often while 8x8's Retry-After does: the process may have to drain.
_LOOK_AGAIN_S: Final = 1.0

#: Refusals that meet every message alike, and what they pause.
_ACCOUNT_WIDE: Final = {Disposition.BLOCKED_ACCOUNT: "subaccount", Disposition.BLOCKED_SOURCE: "source"}

#: Scope, name and reason.
_Breaker = tuple[str, str, str]

log = structlog.get_logger()


class PlaceCalls:
    """Claim, commit, POST, record. Any number of processes may; the rows decide, not the doorbells."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pace = pace_of(services.settings)
        self._timing = timing_of(services.settings)
        self.senders = Senders("dial", services.settings.dial_senders)
        self.flights: dict[Lane, SingleFlight] = {lane: SingleFlight() for lane in TYPES}
        self._rests: dict[Lane, Rest] = {lane: Rest(_REST_ROW_S, _REST_S, _CLAIM_LIMIT) for lane in TYPES}
        self._lost_claims: list[str] = []
        self._giving_back = threading.Lock()
        self._switches = Switches(services.database)
        self._results: GroupCommitter[Sent | NotMade, None] = GroupCommitter(
            "dial-results",
            self._record,
            bounds=Bounds(200, 100_000, patience_s=20, pause_s=0, rest_row_s=0.01, rest_s=0.1, is_awaited=False),
            ids_of=lambda one: one.call.ids,
        )
        self._asked = traces.dialing(services.tracer, self._answer, _verdict_of)

    def __call__(self, lane: Lane) -> None:
        """Dial until the lane is empty, held back for long, or the time of one run is over."""
        self.flights[lane].run(partial(self._run, lane))

    def drain(self) -> None:
        """Finish what was claimed, and record it."""
        self.senders.drain()
        self._results.close()

    def _run(self, lane: Lane) -> None:
        stop_at = time.monotonic() + _RUN_S
        rest, is_full = self._rests[lane], False
        while time.monotonic() < stop_at:
            time.sleep(rest.left_s())
            free = self.senders.wait_for_free(self.senders.limit // 2, _GATHER_S) if is_full else 0
            free = free or self.senders.wait_for_free(1, stop_at - time.monotonic())
            if not free:
                return
            asked = min(free, _CLAIM_LIMIT)
            started_at = time.monotonic()
            claimed = self._claim(lane, asked)
            rest.after(len(claimed.calls), started_at)
            if not claimed.waiting:
                return  # empty, paused, or only busy destinations wait: their end, or the sweeper, rings again
            if claimed.room < asked:
                held_s = _HELD_BACK_S if claimed.calls else 2 * _HELD_BACK_S
                self.senders.pause(min(_LOOK_AGAIN_S, max(held_s, claimed.held_s)))
            is_full = len(claimed.calls) == asked
        self._services.doorbell.ring(jobs.PLACE_CALLS[lane])

    def _claim(self, lane: Lane, wanted: int) -> Claim:
        failpoints.hit("dial.before_claim")
        self._give_back_lost_claims()
        tried: list[tuple[str, float]] = []

        def one_try(connection: Connection) -> Claim:
            tried.append((new_id("claim"), time.monotonic()))
            return claim.claim(connection, self._pace, lane, wanted=wanted, claim_id=tried[-1][0])

        answered = False
        try:
            claimed = self._services.database.run(one_try, alone=True)
            answered = True
        except IntegrityError:
            # Dialling for another subaccount, somebody took a destination in the same moment: look again.
            return Claim([], room=0, waiting=True)
        finally:
            # The answer of a try that failed may be lost, not the claim: what it took was surely not dialled.
            self._lost_claims += [claim_id for claim_id, _ in (tried[:-1] if answered else tried)]
        failpoints.hit("dial.before_start", claimed.calls)
        if claimed.is_fenced:
            failover.check_in(self._services)
        for call in claimed.calls:
            self.senders.start(partial(self._dial, call, tried[-1][1], claimed.stops))
        return claimed

    def _give_back_lost_claims(self) -> None:
        with self._giving_back:
            while self._lost_claims:
                failpoints.hit("dial.before_give_back")
                returned = self._services.database.run(partial(claim.give_back, claim_id=self._lost_claims[0]))
                claim_id, message_ids = self._lost_claims.pop(0), [one.message_id for one in returned]
                log.info("claim_given_back", claim_id=claim_id, message_ids=message_ids)

    def _dial(self, call: ClaimedCall, claimed_at: float, stops: Sequence[Stop] = ()) -> None:
        try:
            self._dial_once(call, claimed_at, stops)
        except Exception:  # the lease tells the others
            log.exception("dial_not_recorded", **call.ids)

    def _dial_once(self, call: ClaimedCall, claimed_at: float, stops: Sequence[Stop]) -> None:
        answer = self._asked(call, claimed_at, stops)
        if not isinstance(answer, Verdict):
            self._results.submit([NotMade(call, answer)])
            return
        failpoints.hit("dial.after_post")
        now = call.now + timedelta(seconds=time.monotonic() - claimed_at)
        move = after_dial(call.dialed(), answer, self._timing, now=now, luck=random.random())  # noqa: S311  jitter
        if answer.disposition is Disposition.UNKNOWN:
            log.warning("dial_unknown", **call.ids, reason=answer.reason)
        self._results.submit([Sent(call, answer, move)])

    def _answer(self, call: ClaimedCall, claimed_at: float, stops: Sequence[Stop]) -> Verdict | Stop | Quiet:
        """What 8x8 answered. Any failure before the POST surely placed no call; any after it may have."""
        if call.is_suppressed:
            return Verdict(Disposition.SUPPRESSED, Reason.SUPPRESSED)
        if silence := quiet.at(call.now, call.quiet_hours, call.country):
            return silence
        failpoints.hit("dial.before_post")
        settings = self._services.settings
        # One whole POST must fit between the last look and the lease's end or the deadline.
        lease_s = settings.call_lease_seconds - settings.dial_timeout_seconds - 1
        valid_s = (call.valid_until - call.now).total_seconds()
        give_up_at = claimed_at + min(lease_s, valid_s)
        try:
            number, body = self._callflow(call)
        except Unopened:
            # Somebody has the key: of workers that run with different ones while it is changed, another takes it.
            log.error("data_key_missing", **call.ids)  # noqa: TRY400  the place says nothing
            return Verdict(Disposition.NOT_SENT, Reason.KEY_MISSING)
        except (Unsealable, ValueError) as error:
            log.error("callflow_not_built", **call.ids, error=type(error).__name__)  # noqa: TRY400
            return Verdict(Disposition.REFUSED, Reason.CALLFLOW_INVALID)
        stop: Stop | None = None

        def may_still_send() -> bool:
            nonlocal stop
            stop = self._switches.stop_of(call, number, stops, claimed_at)
            return stop is None and time.monotonic() < give_up_at

        try:
            answer = self._services.voice_api.send_callflow(body, may_still_send, call.ids)
        except Exception:
            log.exception("dial_failed", **call.ids)
            return Verdict(Disposition.UNKNOWN, Reason.NO_REPLY)
        return answer if stop is None else stop

    def _callflow(self, call: ClaimedCall) -> tuple[str, bytes]:
        """The phone to ring, and what 8x8 is sent."""
        content = json.loads(self._services.sealer.unseal(call.content, row=call.message_id))
        outbound = callflow.OutboundCall(
            source=call.source,
            destination=content["destination"],
            speech=callflow.Speech(content["text"], call.voice, call.speed, call.plays),
            valid_until=call.valid_until,
            client_request_id=call.attempt_id if self._services.settings.send_client_request_id else None,
            interruptible=call.interruptible,
        )
        return outbound.destination, callflow.build(outbound)

    def _record(self, done: Sequence[Sent | NotMade], patience_s: float) -> list[None]:
        try:
            if sent := [one for one in done if isinstance(one, Sent)]:
                self._record_sent(sent, patience_s)
        finally:
            if stopped := [(one.call, one.why) for one in done if isinstance(one, NotMade)]:
                put_back(self._services, stopped, patience_s)
        return [None] * len(done)

    def _record_sent(self, sent: Sequence[Sent], patience_s: float) -> None:
        results = [one.result() for one in sent]
        unmade = {one.call.attempt_id: one.call for one in sent if one.answer.disposition in dial.UNMADE}

        def write(connection: Connection) -> tuple[dict[_Breaker, int], list[str], bool]:
            # Messages before breakers, as whoever reconciles does: two that lock in turn never wait for each other.
            early, given_back = dial.record(connection, results)
            if given_back:  # an outage of 8x8 must not use up the day's calls
                daily_calls.give_back(connection, [(unmade[id_].provider_id, unmade[id_].now) for id_ in given_back])
            opened = self._pause_refused(connection, sent)
            return opened, self._resume_accepted(connection, sent), early

        failpoints.hit("dial.before_record")
        alone = not unmade and not any(one.call.probes or one.answer.disposition in _ACCOUNT_WIDE for one in sent)
        opened, closed, early = self._services.database.run(write, patience_s=patience_s, alone=alone)
        failpoints.hit("dial.after_record")
        for (scope, name, reason), failures in opened.items():
            log.critical("dialing_paused", scope=scope, name_=name, reason=reason, failures=failures)
        for name in closed:
            log.warning("dialing_resumed", scope="subaccount", name_=name)
        if any(TRANSITIONS[one.move.event].target in REPORTED for one in sent):
            self._services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        if early:
            self._services.doorbell.ring(jobs.RECONCILE_EVENTS)
        slow_down(self._services, self._pace, refused(sent))

    def _pause_refused(self, connection: Connection, sent: Sequence[Sent]) -> dict[_Breaker, int]:
        """An account-wide refusal meets every message alike: pause instead of failing them one by one."""
        refused: set[_Breaker] = {
            (scope, self._pace.subaccount_id if scope == "subaccount" else one.call.source, str(one.answer.reason))
            for one in sent
            if (scope := _ACCOUNT_WIDE.get(one.answer.disposition)) is not None
        }
        pause_s = self._services.settings.breaker_seconds
        failures = {
            (scope, name, reason): dial.open_breaker(connection, scope, name, reason=reason, pause_s=pause_s)
            for scope, name, reason in sorted(refused)
        }
        return {breaker: count for breaker, count in failures.items() if count is not None}

    def _resume_accepted(self, connection: Connection, sent: Sequence[Sent]) -> list[str]:
        """8x8 takes the account's calls again. Whether it takes the caller id, only a call's summary tells."""
        if not any(one.call.probes and one.answer.disposition is Disposition.CREATED for one in sent):
            return []
        return dial.close_breakers(connection, "subaccount", [self._pace.subaccount_id])


def _verdict_of(answer: Verdict | Stop | Quiet) -> Verdict | None:
    return answer if isinstance(answer, Verdict) else None
