"""Step 4 of 5: what 8x8 reported becomes the messages' statuses, their call legs and the providers' callbacks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from shared import jobs
from shared.db.database import is_away
from shared.db.queries import dial, inbox, moves, settle
from shared.db.queries.pacing import Refused
from shared.lifecycle import TO_DIAL, Lane
from shared.matching import Candidate, choose
from shared.rest import Rest
from shared.sealing import Unsealable
from shared.services import Services, pace_of, timing_of
from shared.verdict import Finding, after_action, after_summary
from shared.voice_api.events import CallAction, Malformed, SessionSummary, WebhookEvent, parse
from workers.pacing import slow_down
from workers.single_flight import SingleFlight

_RUN_S: Final = 15
_CLAIM_LIMIT: Final = 200
#: Above 500 events a second batches come at this distance, in seconds.
_REST_ROW_S: Final = 0.002
_REST_S: Final = 0.05
#: Seconds between looks for webhooks that were tried before.
_AGAIN_S: Final = 0.25
#: A worker that dies leaves its webhooks to others after this long, in seconds.
_LEASE_S: Final = 10
#: An event without an attempt is tried again after a quarter of its age, within these seconds.
_UNMATCHED_S: Final = (1.0, 60.0)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A webhook from the inbox with what it says."""

    row: inbox.InboxRow
    event: WebhookEvent


class ReconcileEvents:
    """Claim, parse, match, apply: one transaction a batch. Running it twice changes nothing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._timing = timing_of(services.settings)
        self._pace = pace_of(services.settings)
        self._flight = SingleFlight()
        self._rest = Rest(_REST_ROW_S, _REST_S)
        self._again_at = 0.0

    def __call__(self) -> None:
        """Handle what is due, until nothing is or the time of one run is over."""
        self._flight.run(self._run)

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
        rows = self._services.database.run(take, alone=True)
        if not rows:
            return 0
        try:
            self._apply(rows)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("events_not_applied", events=len(rows), first=rows[0].inbox_id)
            if len(rows) > 1:
                self._one_by_one(rows)
        return len(rows)

    def _one_by_one(self, batch: Sequence[inbox.InboxRow]) -> None:
        for row in batch:
            try:
                self._apply([row])
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("event_not_applied", inbox_id=row.inbox_id, attempts=row.attempts)

    def _apply(self, rows: Sequence[inbox.InboxRow]) -> None:
        kept = [_Kept(row, self._parsed(row)) for row in rows]
        moved, refused = self._services.database.run(partial(self._reconcile, kept=kept))
        if any(one.callbacks for one in moved):
            self._services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        for lane in {one.lane for one in moved if one.status in TO_DIAL}:
            self._services.doorbell.ring(jobs.PLACE_CALLS[Lane(lane)])
        slow_down(self._services, self._pace, Refused(lines=refused))

    def _parsed(self, row: inbox.InboxRow) -> WebhookEvent:
        try:
            return parse(self._services.sealer.unseal(row.body, row=row.dedupe_key))
        except Unsealable:
            return Malformed("sealed with another key")

    def _reconcile(self, connection: Connection, kept: Sequence[_Kept]) -> tuple[list[moves.Moved], list[str]]:
        """Apply the events in the order they came, summaries last, at most one per message in each round.

        Returns:
            The messages that moved, and the attempts that 8x8 had no line for.
        """
        moved: list[moves.Moved] = []
        refused: list[str] = []
        waiting = sorted(kept, key=lambda one: isinstance(one.event, SessionSummary))
        while waiting:
            findings, waiting = self._round(connection, waiting)
            batch = settle.Batch(
                moves=[f.move for _, f in findings if f.move is not None],
                settlements=[f.settlement for _, f in findings if f.settlement is not None],
                outcomes=[self._outcome(one, finding) for one, finding in findings],
                proven_sources=[f.proven_source for _, f in findings if f.proven_source],
            )
            moved += settle.write(connection, batch)
            for source in {f.pause_source for _, f in findings if f.pause_source is not None}:
                self._pause(connection, source)
            refused += [f.refused_attempt for _, f in findings if f.refused_attempt is not None]
        return moved, refused

    def _round(self, connection: Connection, kept: Sequence[_Kept]) -> tuple[list[tuple[_Kept, Finding]], list[_Kept]]:
        candidates = inbox.match(connection, [self._question(place, one) for place, one in enumerate(kept)])
        findings: list[tuple[_Kept, Finding]] = []
        later: list[_Kept] = []
        taken: set[str] = set()
        for place, one in enumerate(kept):
            of_one = candidates.get(place, [])
            concerned = {candidate.message_id for candidate in of_one}
            if concerned & taken:
                later.append(one)
                continue
            taken |= concerned
            findings.append((one, self._finding(one, of_one)))
        return findings, later

    def _question(self, place: int, one: _Kept) -> inbox.Question:
        event = one.event
        if not isinstance(event, CallAction | SessionSummary) or event.is_inbound:
            return inbox.Question(place, None, None, None, None)
        return inbox.Question(
            place=place,
            session_id=event.session_id,
            client_request_id=event.client_request_id if isinstance(event, SessionSummary) else None,
            destination_key=self._destination_key(event),
            source=event.source,
        )

    def _destination_key(self, event: CallAction | SessionSummary) -> bytes | None:
        return None if event.destination is None else self._services.sealer.destination_key(event.destination)

    def _finding(self, one: _Kept, candidates: Sequence[Candidate]) -> Finding:
        event = one.event
        if isinstance(event, Malformed):
            return Finding("malformed")
        if not isinstance(event, CallAction | SessionSummary):
            return Finding("ignored")
        if event.is_inbound:
            return Finding("inbound")
        attempt = choose(
            candidates,
            subaccount_id=event.subaccount_id,
            destination_key=self._destination_key(event),
            source=event.source,
        )
        if attempt is None:
            return Finding("unmatched")
        if isinstance(event, CallAction):
            return after_action(event, attempt, self._timing)
        return after_summary(event, attempt, self._timing, luck=random.random())  # noqa: S311  jitter

    def _outcome(self, one: _Kept, finding: Finding) -> settle.Outcome:
        if finding.result != "unmatched":
            return settle.Outcome(one.row.inbox_id, finding.result)
        if one.row.age_s > self._services.settings.unmatched_event_seconds:
            log.warning("event_never_matched", inbox_id=one.row.inbox_id)
            return settle.Outcome(one.row.inbox_id, "unmatched")
        least, most = _UNMATCHED_S
        session_id = one.event.session_id if isinstance(one.event, CallAction | SessionSummary) else None
        retry_in_s = min(most, max(least, one.row.age_s / 4))
        return settle.Outcome(one.row.inbox_id, "unmatched", retry_in_s, session_id)

    def _pause(self, connection: Connection, source: str) -> None:
        pause_s = self._services.settings.breaker_seconds
        failures = dial.open_breaker(connection, "source", source, reason="source_not_allowed", pause_s=pause_s)
        if failures is not None:
            log.critical("dialing_paused", scope="source", reason="source_not_allowed", failures=failures)
