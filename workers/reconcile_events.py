"""Step 4 of 5: what 8x8 reported becomes the messages' statuses, their call legs and the providers' callbacks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from shared import failpoints, jobs
from shared.db.database import is_away
from shared.db.queries import dial, inbox, settle
from shared.db.queries.callbacks import NOTHING
from shared.db.queries.pacing import Refused
from shared.db.queries.strays import AMBIGUOUS, CONTRADICTS, UNMATCHED
from shared.lifecycle import TO_DIAL, Lane
from shared.matching import Candidate, Facts, choose, contradicted
from shared.rest import Rest
from shared.sealing import Unopened, Unsealable
from shared.services import Services, pace_of, timing_of
from shared.verdict import Finding, after_action, after_summary
from shared.voice_api.events import CallAction, Malformed, SessionSummary, WebhookEvent, parse
from workers import traces
from workers.deliver_callbacks import DeliverCallbacks
from workers.kept_events import UNOPENED, Found, Kept, may_match
from workers.pacing import slow_down
from workers.single_flight import SingleFlight

_RUN_S: Final = 15
_CLAIM_LIMIT: Final = 200
#: Above 500 events a second batches come at this distance, in seconds.
_REST_ROW_S: Final = 0.004
_REST_S: Final = 0.1
#: Seconds between looks for webhooks that were tried before.
_AGAIN_S: Final = 1.0
#: A worker that dies leaves its webhooks to others after this long, in seconds.
_LEASE_S: Final = 10
#: An event without an attempt is tried again after a quarter of its age, within these seconds.
_UNMATCHED_S: Final = (1.0, 60.0)

#: A batch is given up after so many rounds in vain: somebody else changed its messages between look and write.
_MOST_LOST: Final = 5

log = structlog.get_logger()


class ReconcileEvents:
    """
    Claim, parse, match, write. Running it twice changes nothing.

    Two statements a batch: the claim brings the attempts of the sessions that the webhooks name, and only those that
    name none of ours are looked for in a third.
    """

    def __init__(self, services: Services, callbacks: DeliverCallbacks | None = None) -> None:
        """
        Args:
            services: Of the process.
            callbacks: Sends the first callbacks from here; what it has no room for is left to the callback workers.
        """
        self._services = services
        self._callbacks = callbacks
        self._timing = timing_of(services.settings)
        self._pace = pace_of(services.settings)
        self.flight = SingleFlight()
        self._rest = Rest(_REST_ROW_S, _REST_S, _CLAIM_LIMIT)
        self._again_at = 0.0
        self._claimed_at = 0.0  # of the monotonic clock

    def __call__(self) -> None:
        """Handle what is due, until nothing is or the time of one run is over."""
        self.flight.run(self._run)

    def _run(self) -> None:
        stop_at = time.monotonic() + _RUN_S
        while (now := time.monotonic()) < stop_at:
            time.sleep(self._rest.left_s())
            fresh = self._claim(partial(inbox.claim, wanted=_CLAIM_LIMIT, lease_s=_LEASE_S))
            self._rest.after(fresh, now)
            if fresh == _CLAIM_LIMIT:
                continue  # what came later has a ring of its own
            if now < self._again_at:
                return
            # Webhooks whose worker failed or died come back when their lease ends: no need to look all the time.
            if not self._claim(partial(inbox.claim_again, lease_s=_LEASE_S)):
                self._again_at = now + _AGAIN_S
                return
        self._services.doorbell.ring(jobs.RECONCILE_EVENTS)

    def _claim(self, take: Callable[[Connection], list[inbox.InboxRow]]) -> int:
        """Take webhooks and apply them; says how many. Those tried before come alone, each with its own count."""
        failpoints.hit("reconcile.before_claim")
        self._claimed_at = time.monotonic()
        rows = self._services.database.run(take, alone=True)
        failpoints.hit("reconcile.after_claim", rows)
        kept = [self._kept(row) for row in rows]
        # In the order they came, summaries last.
        waiting = self._apply(sorted(kept, key=lambda one: isinstance(one.event, SessionSummary)))
        if len(kept) > 1:
            for one in waiting:
                self._apply([one])
        return len(rows)

    def _apply(self, kept: Sequence[Kept]) -> Sequence[Kept]:
        """Apply events in rounds, at most one per message in each; what a failed round leaves is given back."""
        waiting = kept
        for _ in range(len(kept) + _MOST_LOST):
            if not waiting:
                break
            try:
                waiting = self._round(waiting)
            except Exception as error:
                if is_away(error):
                    raise
                first = waiting[0].row
                log.exception(
                    "events_not_applied",
                    events=len(waiting),
                    first=first.inbox_id,
                    attempts=first.attempts,
                    session_ids=[one.session_id for one in waiting],
                )
                break
        return waiting

    def _round(self, waiting: Sequence[Kept]) -> list[Kept]:
        """Apply what can be; returns the rest."""
        found, later = self._match(waiting)
        for source in {one.finding.pause_source for one in found if one.finding.pause_source is not None}:
            self._services.database.run(partial(self._pause, source=source))
        lost = self._write(found)
        if self._services.tracer is not None:
            traces.reported(self._services.tracer, found, lost, ago_s=time.monotonic() - self._claimed_at)
        slow_down(
            self._services,
            self._pace,
            Refused(
                lines=[name for one in found if (name := one.finding.refused_attempt) is not None and name not in lost]
            ),
        )
        lost_ones = [one.kept for one in found if one.attempt is not None and one.attempt.attempt_id in lost]
        return [one.anew() for one in lost_ones + later]

    def _write(self, found: Sequence[Found]) -> frozenset[str]:
        """Write what the events come to and see to what follows; returns the attempts that changed meanwhile."""
        batch = settle.Batch(
            versions={one.attempt.attempt_id: one.attempt.version for one in found if one.attempt is not None},
            moves=[one.finding.move for one in found if one.finding.move is not None],
            settlements=[one.finding.settlement for one in found if one.finding.settlement is not None],
            outcomes=[self._outcome(one) for one in found],
            proven_sources=[one.finding.proven_source for one in found if one.finding.proven_source],
        )
        hand_over = NOTHING if self._callbacks is None else self._callbacks.room()
        started_at = time.monotonic()
        failpoints.hit("reconcile.before_write", found)
        written = self._services.database.run(partial(settle.write, batch=batch, hand_over=hand_over), alone=True)
        failpoints.hit("reconcile.after_write", written.moved)
        if self._callbacks is not None:
            self._callbacks.take(written.handed, started_at)
        failpoints.hit("reconcile.before_ring", written.moved)
        if any(one.callbacks for one in written.moved):
            self._services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        for lane in {one.lane for one in written.moved if one.status in TO_DIAL}:
            self._services.doorbell.ring(jobs.PLACE_CALLS[Lane(lane)])
        return written.lost

    def _kept(self, row: inbox.InboxRow) -> Kept:
        event = self._parsed(row)
        is_named = may_match(event) and row.named is not None and row.named.session_id == event.session_id
        return Kept(row, event, row.named if is_named else None)

    def _parsed(self, row: inbox.InboxRow) -> WebhookEvent:
        try:
            return parse(self._services.sealer.unseal(row.body, row=row.dedupe_key))
        except Unopened:
            return UNOPENED
        except Unsealable:
            return Malformed("sealed with another key")

    def _match(self, kept: Sequence[Kept]) -> tuple[list[Found], list[Kept]]:
        """What each event comes to, and those whose message another one concerns first."""
        candidates = self._candidates(kept)
        found: list[Found] = []
        later: list[Kept] = []
        taken: set[str] = set()
        for place, one in enumerate(kept):
            of_one = candidates.get(place, ())
            concerned = {candidate.message_id for candidate in of_one}
            if concerned & taken:
                later.append(one)
                continue
            taken |= concerned
            attempt = self._attempt(one.event, of_one)
            finding = self._finding(one, attempt)
            found.append(Found(one, attempt, self._stray(one, of_one) if finding.result == UNMATCHED else finding))
        return found, later

    def _candidates(self, kept: Sequence[Kept]) -> Mapping[int, Sequence[Candidate]]:
        """By place, the attempts that an event may belong to: the one whose session it names, or all that fit."""
        questions = [
            self._question(place, one.event)
            for place, one in enumerate(kept)
            if one.named is None and may_match(one.event)
        ]
        named = {place: (one.named,) for place, one in enumerate(kept) if one.named is not None}
        if not questions:
            return named
        return named | self._services.database.run(partial(inbox.match, questions=questions), alone=True)

    def _question(self, place: int, event: CallAction | SessionSummary) -> inbox.Question:
        return inbox.Question(
            place=place,
            session_id=event.session_id,
            client_request_id=event.client_request_id if isinstance(event, SessionSummary) else None,
            destination_key=self._destination_key(event),
            source=event.source,
        )

    def _destination_key(self, event: CallAction | SessionSummary) -> bytes | None:
        return None if event.destination is None else self._services.sealer.destination_key(event.destination)

    def _attempt(self, event: WebhookEvent, candidates: Sequence[Candidate]) -> Candidate | None:
        return choose(candidates, **self._facts(event)) if may_match(event) else None

    def _facts(self, event: CallAction | SessionSummary) -> Facts:
        """What must agree, whatever names the attempt."""
        return {
            "subaccount_id": event.subaccount_id,
            "destination_key": self._destination_key(event),
            "source": event.source,
        }

    def _finding(self, one: Kept, attempt: Candidate | None) -> Finding:
        event = one.event
        if isinstance(event, Malformed):
            return Finding("unopened" if event is UNOPENED else "malformed")
        if not isinstance(event, CallAction | SessionSummary):
            return Finding("ignored")
        if event.is_inbound:
            return Finding("inbound")
        if attempt is None:
            return Finding(UNMATCHED)
        if isinstance(event, CallAction):
            return after_action(event, attempt, self._timing)
        return after_summary(event, attempt, self._timing, luck=random.random())  # noqa: S311  jitter

    def _stray(self, one: Kept, candidates: Sequence[Candidate]) -> Finding:
        """An event without an attempt: of nobody, of one of several, or of a call that it contradicts."""
        if not candidates or not may_match(one.event):
            return Finding(UNMATCHED)
        if why := contradicted(candidates, **self._facts(one.event)):
            named = candidates[0]
            ids = {"session_id": one.session_id, "attempt_id": named.attempt_id, "message_id": named.message_id}
            log.warning("event_contradicts", inbox_id=one.row.inbox_id, why=why, **ids)
            return Finding(CONTRADICTS)
        return Finding(AMBIGUOUS)

    def _outcome(self, found: Found) -> settle.Outcome:
        row, result = found.kept.row, found.finding.result
        if found.attempt is not None or result not in (UNMATCHED, AMBIGUOUS, "unopened"):
            attempt_id = None if found.attempt is None else found.attempt.attempt_id
            return settle.Outcome(row.inbox_id, result, attempt_id)
        if row.age_s > self._services.settings.unmatched_event_seconds:
            session_id = found.kept.session_id
            log.warning("event_never_matched", inbox_id=row.inbox_id, session_id=session_id, result=result)
            return settle.Outcome(row.inbox_id, "parked" if result == "unopened" else UNMATCHED)
        least, most = _UNMATCHED_S
        return settle.Outcome(
            row.inbox_id,
            result,
            retry_in_s=min(most, max(least, row.age_s / 4)),
            session_id=found.kept.session_id,
        )

    def _pause(self, connection: Connection, source: str) -> None:
        pause_s = self._services.settings.breaker_seconds
        failures = dial.open_breaker(connection, "source", source, reason="source_not_allowed", pause_s=pause_s)
        if failures is not None:
            log.critical("dialing_paused", scope="source", reason="source_not_allowed", failures=failures)
