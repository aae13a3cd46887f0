"""Now and then: ask 8x8's call log about calls whose outcome is not known. Beside the sweep, which waits for no 8x8."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from shared import jobs, retry_policy
from shared.db.database import is_away
from shared.db.queries import inbox, log_export, moves
from shared.errors import VoiceApiError
from shared.ids import new_id
from shared.lifecycle import Event, Lane, Move
from shared.log_evidence import Doubt, Evidence, Log, Shown, weigh, window_for
from shared.reasons import Reason
from shared.services import Services, build_log_exports
from shared.voice_api.call_log import LoggedSession, LogReader, UnreadableLog, sessions_of
from shared.voice_api.events import glance
from shared.voice_api.exports import ExportFailed, ExportGone, ExportJob, LogExports

_LOOK_S: Final = 5.0  # between two looks for an export that is due
_LEASE_S: Final = 30.0  # beyond the download, until another sweeper takes an export over
_MOST_JOBS: Final = 5  # asked for by one export, killed sweepers' included
_INTERVALS: Final = 12  # after which an export that is still not there is given up

#: Answers that the next try will get, too: the key, the subaccount or the address is wrong.
_REFUSED: Final = frozenset({400, 401, 402, 403, 404, 405, 410, 422, 426})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    """What the files of an export hold that concerns us."""

    reader: LogReader
    sessions: Sequence[LoggedSession]
    asked: frozenset[str]  # attempts that it was read for
    known: frozenset[str]  # sessions that it must have


class AskLogExport:
    """
    One step at a time: begin an export, ask 8x8 for its job, look at the job, read its files. The row says which is
    next, so whoever comes after a kill goes on there; at most the POST of a job is repeated, which changes nothing.
    """

    def __init__(self, services: Services, exports: LogExports | None = None) -> None:
        settings = services.settings
        self._services = services
        self._database = services.database
        self._exports = exports or build_log_exports(settings)
        self._subaccount_id = settings.eight_x_eight_subaccount_id
        self._interval_s = settings.export_interval_seconds
        self._begin_at = 0.0  # when to look for calls in doubt again: it takes some ten milliseconds
        self._lease_s = settings.export_timeout_seconds + _LEASE_S
        self._patience = log_export.Patience(
            settings.ring_seconds, settings.export_delay_seconds, settings.answer_seconds
        )

    def __call__(self) -> None:
        """Begin an export if it is time and something is to be asked; take the step of the one that is due."""
        if time.monotonic() >= self._begin_at and self._database.run(self._is_time):
            self._begin_at = time.monotonic() + self._interval_s / 5
            self._begin()
        export = self._database.run(partial(log_export.claim, subaccount_id=self._subaccount_id, lease_s=self._lease_s))
        if export is not None:
            self._go_on(export)

    def close(self) -> None:
        """Let go of the connections to 8x8."""
        self._exports.edge.close()

    def _is_time(self, connection: Connection) -> bool:
        return log_export.is_time(connection, self._subaccount_id, self._interval_s)

    def _begin(self) -> None:
        doubts = self._database.run(partial(log_export.due, subaccount_id=self._subaccount_id, patience=self._patience))
        window = window_for(doubts)
        if window is None:
            return
        export_id = new_id("exp")
        begin = partial(log_export.begin, export_id=export_id, subaccount_id=self._subaccount_id, window=window)
        if self._database.run(begin):
            log.info("log_export_begun", export_id=export_id, in_doubt=len(doubts), since=window.since)

    def _go_on(self, export: log_export.Export) -> None:
        if (export.now - export.created_at).total_seconds() > _INTERVALS * self._interval_s:
            self._fail(export, "too_slow")
        elif export.job_id is not None:
            self._look(export, export.job_id)
        elif export.jobs > _MOST_JOBS:
            self._fail(export, "too_many_jobs")
        else:
            self._ask(export)

    def _ask(self, export: log_export.Export) -> None:
        try:
            job_id = self._exports.start(export.since, export.until)
        except VoiceApiError as error:
            if error.http_status in _REFUSED:
                self._fail(export, error.reason)
            else:
                self._wait(export, error, None, None)
            return
        wait_s = self._wait_s(1)
        kept = self._database.run(
            lambda connection: log_export.keep_job(connection, export, job_id, export.now, wait_s)
        )
        log.info("log_export_asked_for", export_id=export.export_id, job_id=job_id, jobs=export.jobs, kept=kept)

    def _look(self, export: log_export.Export, job_id: str) -> None:
        try:
            job = self._exports.look(job_id)
        except ExportGone as error:
            # It expired, or another host answers now: a new job, if there may still be one.
            self._wait(export, error, None, None)
            return
        except ExportFailed as error:
            self._fail(export, error.reason)
            return
        except VoiceApiError as error:
            if error.http_status in _REFUSED:
                self._fail(export, error.reason)
            else:
                self._wait(export, error, job_id, export.requested_at)
            return
        if job.files is None:
            wait_s = self._wait_s(export.tries)
            self._database.run(
                lambda connection: log_export.keep_job(connection, export, job_id, export.requested_at, wait_s)
            )
            return
        self._conclude(export, job)

    def _conclude(self, export: log_export.Export, job: ExportJob) -> None:
        try:
            read = self._read(export, job)
        except UnreadableLog as error:
            log.error("log_export_unreadable", export_id=export.export_id, reason=str(error))  # noqa: TRY400
            self._fail(export, f"unreadable: {error}")
            return
        except VoiceApiError as error:
            self._fail(export, error.reason)
            return
        settled = self._database.run(partial(self._settle, export=export, read=read))
        if settled is None:
            log.warning("log_export_taken_over", export_id=export.export_id)
            return
        self._tell(export, *settled)

    def _read(self, export: log_export.Export, job: ExportJob) -> _Read:
        """The files, of which only those rows are kept that may be a call in doubt."""
        doubts, known = self._database.run(partial(self._sought, export=export))
        sessions = {doubt.session_id for doubt in doubts} | known
        keys = {doubt.destination_key for doubt in doubts if doubt.session_id is None}
        sealer = self._services.sealer

        def wanted(session_id: str, destination: str) -> bool:
            return session_id in sessions or sealer.destination_key(destination) in keys

        reader = LogReader(wanted)
        self._exports.read(job, reader.feed, reader.end_file)
        asked = frozenset(doubt.attempt_id for doubt in doubts)
        return _Read(reader, sessions_of(reader.rows), asked, known)

    def _sought(self, connection: Connection, export: log_export.Export) -> tuple[list[Doubt], frozenset[str]]:
        doubts = self._covered(connection, export)
        return doubts, log_export.known_calls(connection, export, doubts)

    def _covered(self, connection: Connection, export: log_export.Export) -> list[Doubt]:
        found = log_export.within(connection, export, self._patience)
        return [doubt for doubt in found if export.window.covers(doubt)]

    def _settle(
        self, connection: Connection, export: log_export.Export, read: _Read
    ) -> tuple[list[Evidence], list[moves.Moved], str | None] | None:
        """
        What the log shows, all in one transaction with the end of the export; None if the lease was lost.

        A call that is there is kept like a webhook: step 4 settles it as a summary would.
        """
        if not log_export.end(connection, export):
            return None
        doubts = [doubt for doubt in self._covered(connection, export) if doubt.attempt_id in read.asked]
        rivals = log_export.rivals(connection, {doubt.destination_key for doubt in doubts})
        bound = log_export.bound(connection, {session.session_id for session in read.sessions})
        logged = self._log(export, read, bound)
        found = weigh(logged, doubts, rivals)
        inbox.keep(connection, [self._event(one) for one in found if one.shown is Shown.FOUND])
        log_export.looked_up(connection, found, self._waits_s(found))
        return found, moves.apply(connection, _redials(found)), logged.flaw

    def _log(self, export: log_export.Export, read: _Read, bound: Collection[str]) -> Log:
        key = self._services.sealer.destination_key
        return Log(
            window=export.window,
            requested_at=export.requested_at or export.created_at,
            sessions=read.sessions,
            destination_keys={
                session.session_id: {key(row.leg.destination) for row in session.rows if row.leg.destination}
                for session in read.sessions
            },
            bound=bound,
            known=read.known,
            vague=read.reader.vague,
            first=read.reader.first,
            last=read.reader.last,
        )

    def _event(self, found: Evidence) -> inbox.RawEvent:
        assert found.session is not None
        raw = found.session.as_summary(found.doubt.attempt_id)
        name = glance(raw).dedupe_key
        return inbox.RawEvent(name, self._services.sealer.seal(raw, row=name))

    def _waits_s(self, found: Sequence[Evidence]) -> dict[str, float]:
        return {
            one.doubt.attempt_id: retry_policy.next_lookup_s(one.doubt.lookups + 1, interval_s=self._interval_s)
            for one in found
        }

    def _tell(
        self, export: log_export.Export, found: Sequence[Evidence], moved: Sequence[moves.Moved], flaw: str | None
    ) -> None:
        shown = {str(kind): sum(one.shown is kind for one in found) for kind in Shown}
        log.info("log_export_read", export_id=export.export_id, flaw=flaw, redials=len(moved), **shown)
        if flaw is not None:
            log.warning("log_export_proves_no_absence", export_id=export.export_id, reason=flaw)
        for one in found:
            doubt = one.doubt
            ids = {"message_id": doubt.message_id, "attempt_id": doubt.attempt_id, "session_id": doubt.session_id}
            log.info("call_looked_up", **ids, shown=one.shown, lookups=doubt.lookups + 1)
        if any(one.shown is Shown.FOUND for one in found):
            self._services.doorbell.ring(jobs.RECONCILE_EVENTS)
        for lane in {one.lane for one in moved}:
            self._services.doorbell.ring(jobs.PLACE_CALLS[Lane(lane)])

    def _wait_s(self, looks: int, retry_after_s: float = 0.0) -> float:
        return retry_policy.next_look_s(looks, longest_s=self._interval_s, retry_after_s=retry_after_s)

    def _wait(
        self, export: log_export.Export, error: VoiceApiError, job_id: str | None, requested_at: datetime | None
    ) -> None:
        """Try again, later each time, or when 8x8 says."""
        wait_s = self._wait_s(export.tries, error.retry_after_s)
        log.warning("log_export_delayed", export_id=export.export_id, reason=error.reason, wait_s=wait_s)
        self._database.run(lambda connection: log_export.keep_job(connection, export, job_id, requested_at, wait_s))

    def _fail(self, export: log_export.Export, reason: str) -> None:
        """Give this export up: what it was to tell stays in doubt until the next one, which is further off."""
        log.warning("log_export_failed", export_id=export.export_id, reason=reason)
        self._database.run(partial(log_export.end, export=export, failed=reason))


def _redials(found: Sequence[Evidence]) -> list[Move]:
    """Calls that were surely never made, where the sender wants a redial rather than a doubt and it can be in time."""
    return [
        Move(
            one.doubt.message_id, Event.DOUBT_TO_REDIAL, one.doubt.attempt_id, reason=Reason.NEVER_CONFIRMED, due_in_s=0
        )
        for one in found
        if one.shown is Shown.ABSENT and one.doubt.may_redial
    ]


def keep_asking(services: Services, stop: threading.Event) -> None:
    """Ask until *stop*; while 8x8 or PostgreSQL is away, what is in doubt stays in doubt."""
    ask = AskLogExport(services)
    wait_s = min(_LOOK_S, services.settings.export_interval_seconds)
    while not stop.wait(wait_s):
        try:
            ask()
        except Exception as error:  # the row says what comes next; another round takes it up
            if is_away(error):
                log.warning("database_away", process="log-exports")
            else:
                log.exception("log_export_step_failed")
    ask.close()
