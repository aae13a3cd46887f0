"""Always: find what was missed, and ring for it. Any number of sweepers may run; it never does a step's work itself."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shared import failpoints, jobs, lifeline, log
from shared.alarms import CLOCK_LIMIT_S
from shared.db.database import Database, DatabaseAway, is_away
from shared.db.queries import daily_calls, moves, poison, sweep
from shared.heartbeat import STUCK_S, SWEEPER, Heartbeat
from shared.lifecycle import DOUBTFUL, Event, Lane, Move, Status
from shared.presence import Presence
from shared.reasons import Reason
from shared.services import Services, build_services, pace_of, timing_of
from shared.settings import Settings
from shared.verdict import Dialed, Timing, doubt_due
from workers import failover, sweep_stops
from workers.ask_log_export import keep_asking
from workers.partitions import keep_partitions
from workers.purge import keep_purging
from workers.record_figures import keep_recording
from workers.refresh_voices import keep_fresh
from workers.tally_ends import keep_tallying
from workers.tidy import Tidy

_PAGE: Final = 500
#: What rounds found, as it is counted.
_FINDINGS: Final = "sweeper_findings"
_ENDS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
#: Statuses that do not outlast their due time.
_SWEPT: Final = (Status.SCHEDULED, Status.DIALING, Status.DIAL_UNKNOWN, Status.PLACED, Status.ANSWERED)
#: Who is rung for what waits.
_RINGS: Final[dict[sweep.Waiting, jobs.Job]] = {
    **{("to_dial", lane): job for lane, job in jobs.PLACE_CALLS.items()},
    ("event", ""): jobs.RECONCILE_EVENTS,
    ("callback", ""): jobs.DELIVER_CALLBACKS,
}

#: What goes on beside the rounds, each in a thread of its name.
_BESIDE: Final[dict[str, Callable[[Services, threading.Event], None]]] = {
    "voices": keep_fresh,
    "ends": keep_tallying,
    "log-exports": keep_asking,
    "partitions": keep_partitions,
    "purge": keep_purging,
    "figures": keep_recording,
}

events = structlog.get_logger()


def sweep_once(services: Services, process: str) -> None:
    """
    One round: what is overdue moves, what waits is rung for.

    Each step stands alone: one that fails is told and tried again in the next round, and hinders no other.

    Raises:
        DatabaseAway: Nothing can be done now.
    """
    steps = _steps(services)
    waiting = _look(services)
    if due := steps.keys() if waiting is None else steps.keys() & waiting:
        for what in sorted(due, key=list(steps).index):
            _alone(what, steps[what])
        waiting = _look(services)  # what moved may wait for others now
    _alone(("beat", process), lambda: _beat(services.database, process))
    _ring(services, frozenset(_RINGS) if waiting is None else waiting)


def _steps(services: Services) -> dict[sweep.Waiting, Callable[[], object]]:
    """What is done about each kind of thing that waits, in this order."""
    database = services.database
    timing = timing_of(services.settings)
    keep_s = services.settings.inbox_retention_seconds
    decisions: dict[Status, tuple[Event, _Decide]] = {
        Status.SCHEDULED: (Event.TIME_CAME, _begun),
        Status.DIALING: (Event.LEASE_LAPSED, lambda row: _lapsed(row, timing)),
        Status.DIAL_UNKNOWN: (Event.SUMMARY_MISSING, _doubtful),
        Status.PLACED: (Event.SUMMARY_MISSING, _missing),
        Status.ANSWERED: (Event.SUMMARY_MISSING, _missing),
    }
    late = Event.DEADLINE_PASSED
    return {
        ("new_server", ""): partial(failover.check_in, services),  # first: what follows lets messages expire
        **{
            ("overdue", status): partial(_move, services, event, partial(_overdue, status), decide)
            for status, (event, decide) in decisions.items()
        },
        **{("late", lane): partial(_move, services, late, partial(_past_deadline, lane), _expired) for lane in Lane},
        ("stop_over", ""): partial(sweep_stops.let_go, services),
        ("stopped", ""): partial(sweep_stops.hold, services),
        ("capped", ""): partial(sweep_stops.put_off, services),
        ("held_destination", ""): lambda: database.run(sweep.free_destinations, alone=True),
        ("poison", ""): lambda: _park_events(services),
        ("silent_callback", ""): lambda: _park_callbacks(services),
        ("old_event", ""): lambda: database.run(lambda c: sweep.purge_inbox(c, keep_s), alone=True),
    }


def _look(services: Services) -> frozenset[sweep.Waiting] | None:
    """What waits, or None where that cannot be told: then everything is tried."""
    keep_s = services.settings.inbox_retention_seconds
    caps = daily_calls.caps_of(pace_of(services.settings))
    try:
        return services.database.run(partial(sweep.waiting, statuses=_SWEPT, keep_s=keep_s, caps=caps), alone=True)
    except DatabaseAway:
        raise
    except Exception:  # noqa: BLE001  the steps are somebody's last hope, too
        events.exception("sweep_look_failed")
        return None


def _alone(what: sweep.Waiting, step: Callable[[], object]) -> None:
    try:
        step()
    except DatabaseAway:
        raise
    except Exception:  # noqa: BLE001  the other steps are somebody's last hope, too
        events.exception("sweep_step_failed", step=" ".join(what).strip())


#: Reads and locks one page of overdue messages: connection, after which, how many.
_Select = Callable[[Connection, sweep.Place, int], list[sweep.Overdue]]
_Decide = Callable[[sweep.Overdue], Move]


def _overdue(status: Status, connection: Connection, after: sweep.Place, page: int) -> list[sweep.Overdue]:
    return sweep.overdue(connection, status, after, page)


def _past_deadline(lane: Lane, connection: Connection, after: sweep.Place, page: int) -> list[sweep.Overdue]:
    return sweep.past_deadline(connection, lane, after, page)


def _move(services: Services, event: Event, select: _Select, decide: _Decide) -> None:
    """Every overdue message, a page a transaction; in a page that fails one by one: no bad row hides another."""
    after, size = sweep.START, _PAGE
    while True:
        rows: list[sweep.Overdue] = []

        def page(connection: Connection, after: sweep.Place = after, size: int = size) -> list[moves.Moved]:
            rows[:] = select(connection, after, size)  # noqa: B023  filled for this round of the loop
            failpoints.hit("sweep.before_move", rows)  # noqa: B023
            return moves.apply(connection, [decide(row) for row in rows])  # noqa: B023

        try:
            moved = services.database.run(page)
            _tell(moved, rows)
            services.counters.count(_FINDINGS, event).add(len(moved))
        except DBAPIError:
            if size > 1:
                size = 1
                continue
            events.exception("message_not_swept", **(rows[0].ids if rows else {}))
        if len(rows) < size:
            return
        after = (rows[-1].since, rows[-1].id)


def _tell(moved: Sequence[moves.Moved], rows: Sequence[sweep.Overdue]) -> None:
    failpoints.hit("sweep.after_move", moved)
    ids = {row.id: row.ids for row in rows}
    for one in moved:
        if one.status in DOUBTFUL:
            events.warning("message_overdue", **ids[one.message_id], status=one.status, was=one.was)


def _park_events(services: Services) -> None:
    if parked := services.database.run(sweep.park_poison, alone=True):
        events.error("events_parked", inbox_ids=parked)
        services.counters.count(_FINDINGS, "events_parked").add(len(parked))


def _park_callbacks(services: Services) -> None:
    if callbacks := services.database.run(poison.part_callbacks, alone=True):
        events.error("callbacks_parked", callback_ids=callbacks)
        services.counters.count(_FINDINGS, "callbacks_parked").add(len(callbacks))


def _beat(database: Database, process: str) -> None:
    """Deadlines are PostgreSQL's, signatures and what providers compute are this machine's: the two must agree."""
    ahead_s = database.run(lambda connection: sweep.beat(connection, process, time.time()), alone=True)
    if abs(ahead_s) > CLOCK_LIMIT_S:
        events.error("clock_off", database_ahead_s=round(ahead_s, 1))


def _begun(row: sweep.Overdue) -> Move:
    return Move(row.id, Event.TIME_CAME, due_in_s=0)


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
    due_at = doubt_due(dialed, timing)
    return Move(row.id, Event.LEASE_LAPSED, row.attempt_id, reason=Reason.LEASE_LAPSED, due_at=due_at)


def _doubtful(row: sweep.Overdue) -> Move:
    """Neither a summary nor 8x8's log told; a redial that was asked for could not be shown to disturb nobody."""
    reason = Reason.HISTORY_LOST if row.reason == Reason.HISTORY_LOST else Reason.NEVER_CONFIRMED
    return Move(row.id, Event.SUMMARY_MISSING, row.attempt_id, reason=reason)


def _missing(row: sweep.Overdue) -> Move:
    return Move(row.id, Event.SUMMARY_MISSING, row.attempt_id, reason=Reason.NO_SUMMARY)


def _expired(row: sweep.Overdue) -> Move:
    """Too late to dial; but a doubtful call of before may have been heard, and its summary may still say so."""
    if row.has_doubt:
        return Move(row.id, Event.DOUBT_REMAINED, reason=Reason.NEVER_CONFIRMED)
    return Move(row.id, Event.DEADLINE_PASSED, reason=Reason.DEADLINE_PASSED)


def _ring(services: Services, waiting: frozenset[sweep.Waiting]) -> None:
    """Ring for whatever waits, whether or not somebody did before."""
    failpoints.hit("sweep.before_ring")
    for what in sorted(_RINGS.keys() & waiting):
        services.doorbell.ring(_RINGS[what])


def _start_beside(services: Services, stop: threading.Event) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=keep, args=(services, stop), name=name, daemon=True) for name, keep in _BESIDE.items()
    ]
    for thread in threads:
        thread.start()
    services.counters.begin(services.database)
    return threads


def main() -> None:
    """The sweeper process: a round, a pause, until SIGTERM."""
    lifeline.die_with_parent()
    # Blocked in all threads, and fetched between two rounds: a handler that sets an Event would wait for ever where it
    # interrupts whoever holds that Event's lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level)
    services = build_services(settings, application="ringpost-sweeper")
    process = f"sweeper {socket.gethostname()} {os.getpid()}"
    stop = threading.Event()
    beside = _start_beside(services, stop)
    began_at = time.monotonic()

    def is_well() -> bool:
        return time.monotonic() - began_at < STUCK_S and all(thread.is_alive() for thread in beside)

    watchdog = os.environ.get("NOTIFY_SOCKET", "")
    Heartbeat(settings.ringpost_data_dir, SWEEPER, is_well, watchdog=watchdog).start()
    presence = Presence(services.database, "sweeper")
    presence.begin()
    tidy = Tidy(services)
    is_new = True
    while True:
        began_at = time.monotonic()
        try:
            if is_new:
                sweep_stops.look_again(services)
                is_new = False
            sweep_once(services, process)
            tidy.if_due()
        except Exception as error:  # noqa: BLE001  the sweeper outlives every failure; the next round repeats the work
            if is_away(error):
                events.warning("database_away", process="sweeper")
            else:
                events.exception("sweep_failed")
        if signal.sigtimedwait(_ENDS, settings.sweep_interval_seconds) is not None:
            break
    stop.set()
    presence.end()
    services.close()


if __name__ == "__main__":
    main()
