"""Every job bound to its step. Dramatiq's retries, delays and results are not used: the rows own all that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dramatiq
import structlog

from shared import jobs
from shared.db.database import is_away
from shared.lifecycle import Lane
from shared.services import Services
from workers.deliver_callbacks import DeliverCallbacks
from workers.place_calls import PlaceCalls
from workers.pretend_calls import PretendCalls
from workers.reconcile_events import ReconcileEvents

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one process; which of them get work is decided by the queues that it consumes."""

    place_calls: PlaceCalls
    pretend_calls: PretendCalls
    reconcile_events: ReconcileEvents
    deliver_callbacks: DeliverCallbacks

    def busy_since(self) -> list[float]:
        """When each round under way began, on the monotonic clock."""
        single = (self.pretend_calls, self.reconcile_events, self.deliver_callbacks)
        flights = [*self.place_calls.flights.values(), *(step.flight for step in single)]
        return [since for flight in flights if (since := flight.busy_since) is not None]

    def stop(self) -> None:
        """Take nothing new."""
        self.place_calls.senders.stop()
        self.pretend_calls.stop()
        self.deliver_callbacks.stop()

    def drain(self) -> None:
        """Finish and record what is under way."""
        self.place_calls.drain()
        self.deliver_callbacks.drain()


def declare_actors(services: Services) -> Steps:
    """Bind every job to its step, on the process's broker."""
    deliver_callbacks = DeliverCallbacks(services)
    reconcile_events = ReconcileEvents(services, deliver_callbacks)
    steps = Steps(PlaceCalls(services), PretendCalls(services), reconcile_events, deliver_callbacks)
    broker = services.broker

    @dramatiq.actor(actor_name="place_calls", queue_name=jobs.PLACE_CALLS[Lane.OTP].queue, broker=broker)
    def _(lane: str) -> None:
        _look_after("place_calls", lambda: steps.place_calls(Lane(lane)))

    @dramatiq.actor(actor_name="pretend_calls", queue_name=jobs.PRETEND_CALLS.queue, broker=broker)
    def _() -> None:
        _look_after("pretend_calls", steps.pretend_calls)

    @dramatiq.actor(actor_name="reconcile_events", queue_name=jobs.RECONCILE_EVENTS.queue, broker=broker)
    def _() -> None:
        _look_after("reconcile_events", steps.reconcile_events)

    @dramatiq.actor(actor_name="deliver_callbacks", queue_name=jobs.DELIVER_CALLBACKS.queue, broker=broker)
    def _() -> None:
        _look_after("deliver_callbacks", steps.deliver_callbacks)

    for job in jobs.ALL:
        broker.declare_queue(job.queue)
        broker.doorbells[job.queue] = jobs.message_of(job)
    return steps


def _look_after(job: str, step: Callable[[], None]) -> None:
    """Run a step. What fails is repeated by the next ring: the rows still say that it is to be done."""
    try:
        step()
    except Exception as error:
        if not is_away(error):
            raise
        log.warning("database_away", job=job)
