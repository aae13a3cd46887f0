"""Always: find what was missed, and ring for it. Any number of sweepers may run; it never does a step's work itself."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from sqlalchemy import Connection

from shared import jobs, lifeline, log
from shared.db.database import is_away
from shared.db.queries import moves, sweep
from shared.lifecycle import DOUBTFUL, Event, Lane, Move, Status
from shared.reasons import Reason
from shared.services import Services, build_services, timing_of
from shared.settings import Settings
from shared.verdict import Dialed, Timing, doubt_due
from workers.refresh_voices import keep_fresh

_PAGE: Final = 500

events = structlog.get_logger()


def sweep_once(services: Services, process: str) -> None:
    """One round: what is overdue moves, what waits is rung for."""
    database = services.database
    timing = timing_of(services.settings)
    moved: list[moves.Moved] = []
    moved += _paged(services, Status.SCHEDULED, lambda row: Move(row.id, Event.TIME_CAME, due_in_s=0))
    moved += _paged(services, Status.DIALING, lambda row: _lapsed(row, timing))
    moved += _paged(services, Status.DIAL_UNKNOWN, _doubtful)
    for status in (Status.PLACED, Status.ANSWERED):
        moved += _paged(services, status, lambda row: _missing(row, Reason.NO_SUMMARY))
    moved += _expired(services)
    database.run(sweep.free_destinations, alone=True)
    if parked := database.run(sweep.park_poison, alone=True):
        events.error("events_parked", inbox_ids=parked)
    database.run(
        lambda connection: sweep.purge_inbox(connection, services.settings.inbox_retention_seconds),
        alone=True,
    )
    database.run(lambda connection: sweep.beat(connection, process), alone=True)
    for one in moved:
        if one.status in DOUBTFUL:
            events.warning("message_overdue", message_id=one.message_id, status=one.status, was=one.was)
    _ring(services)


def _paged(services: Services, status: Status, decide: Callable[[sweep.Overdue], Move]) -> Iterator[moves.Moved]:
    """Every message overdue in *status*, a page a transaction, by key: rows that cannot move hide nobody."""
    after = ""
    while True:

        def page(connection: Connection, after: str = after) -> tuple[list[sweep.Overdue], list[moves.Moved]]:
            rows = sweep.overdue(connection, status, after)
            return rows, moves.apply(connection, [decide(row) for row in rows])

        rows, moved = services.database.run(page)
        yield from moved
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


def _lapsed(row: sweep.Overdue, timing: Timing) -> Move:
    """Nobody can know whether the POST left: it is doubtful from now on, and never dialled again unasked."""
    dialed = Dialed(
        message_id=row.id,
        attempt_id=row.attempt_id or "",
        number=row.attempt,
        valid_until=row.valid_until or row.now,
        speaking_s=row.plays * row.seconds_per_play,
        deadline=row.deadline,
        may_redial=row.may_redial,
    )
    due_at = doubt_due(dialed, timing, now=row.now)
    return Move(row.id, Event.LEASE_LAPSED, row.attempt_id, reason=Reason.LEASE_LAPSED, due_at=due_at)


def _doubtful(row: sweep.Overdue) -> Move:
    """Dial again where the sender asked for that rather than a doubt, and the deadline still runs."""
    if row.may_redial and row.deadline > row.now:
        return Move(row.id, Event.DOUBT_TO_REDIAL, row.attempt_id, reason=Reason.NEVER_CONFIRMED, due_in_s=0)
    return _missing(row, Reason.NEVER_CONFIRMED)


def _missing(row: sweep.Overdue, reason: Reason) -> Move:
    return Move(row.id, Event.SUMMARY_MISSING, row.attempt_id, reason=reason)


def _expired(services: Services) -> Iterator[moves.Moved]:
    after = ""
    while True:

        def page(connection: Connection, after: str = after) -> tuple[list[str], list[moves.Moved]]:
            ids = sweep.past_deadline(connection, after)
            return ids, sweep.expire(connection, ids)

        ids, moved = services.database.run(page)
        yield from moved
        if len(ids) < _PAGE:
            return
        after = ids[-1]


def _ring(services: Services) -> None:
    """Ring for whatever waits, whether or not somebody did before."""
    for lane in services.database.run(sweep.lanes_due, alone=True):
        services.doorbell.ring(jobs.PLACE_CALLS[Lane(lane)])
    if services.database.run(sweep.events_due, alone=True):
        services.doorbell.ring(jobs.RECONCILE_EVENTS)
    if services.database.run(sweep.callbacks_due, alone=True):
        services.doorbell.ring(jobs.DELIVER_CALLBACKS)


def main() -> None:
    """The sweeper process: a round, a pause, until SIGTERM."""
    lifeline.die_with_parent()
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level)
    services = build_services(settings, application="ringpost-sweeper")
    process = f"sweeper {socket.gethostname()} {os.getpid()}"
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    threading.Thread(target=keep_fresh, args=(services, stop), name="voices", daemon=True).start()
    while not stop.is_set():
        try:
            sweep_once(services, process)
        except Exception as error:  # noqa: BLE001  the sweeper outlives every failure; the next round repeats the work
            if is_away(error):
                events.warning("database_away", process="sweeper")
            else:
                events.exception("sweep_failed")
        stop.wait(settings.sweep_interval_seconds)
    services.close()


if __name__ == "__main__":
    main()
