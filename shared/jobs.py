"""
Jobs are doorbells: "there is work here, look now". They carry a lane or nothing, never data.

The rows are the truth. Losing, doubling or replaying a ring costs time at most: the sweeper rings again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import dramatiq
import pybreaker
import structlog

from shared import failpoints
from shared.broker import WakeUpBroker
from shared.lifecycle import TYPES, Lane


@dataclass(frozen=True, slots=True)
class Job:
    """What to look after, and the queue that it waits in; the name is the actor's, the file's and the function's."""

    name: str
    queue: str
    args: tuple[str, ...] = ()


PRETEND_CALLS: Final = Job("pretend_calls", "pretend_calls")
#: By lane.
PLACE_CALLS: Final[Mapping[Lane, Job]] = {
    **{lane: Job("place_calls", f"place_calls.{lane}", (lane.value,)) for lane in TYPES},
    Lane.TEST: PRETEND_CALLS,
}
RECONCILE_EVENTS: Final = Job("reconcile_events", "reconcile_events")
DELIVER_CALLBACKS: Final = Job("deliver_callbacks", "deliver_callbacks")

ALL: Final = (*PLACE_CALLS.values(), RECONCILE_EVENTS, DELIVER_CALLBACKS)

#: While Redis fails, rings are dropped at once and one is tried this often, in seconds.
_RETRY_S: Final = 2
#: A job whose ring was heard is rung for again after the first of these at the soonest, in seconds; after the second
#: when an earlier ring still waits, as then its worker is at it and will look again.
_PAUSES_S: Final = (0.001, 0.005)

log = structlog.get_logger()


class Doorbell:
    """
    Rings for committed rows, from a thread of its own: whoever rings never waits for Redis.

    Rings for the same job that gather while one is on its way, or shortly after it, become one.
    """

    def __init__(self, broker: WakeUpBroker) -> None:
        self._broker = broker
        self._breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=_RETRY_S, throw_new_error_on_trip=False)
        self._messages: dict[Job, dramatiq.Message[None]] = {}
        self._wanted: dict[Job, None] = {}
        self._not_before: dict[Job, float] = {}
        self._changed = threading.Condition(threading.Lock())
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        self._thread.start()
        self.rung = 0

    def ring(self, job: Job) -> None:
        """Ask for *job* to be looked after now. Never waits and never fails."""
        with self._changed:
            self._wanted[job] = None
            self._changed.notify()

    def close(self, timeout_s: float = 2) -> None:
        """Ring what was asked for, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (due := self._due()):
                    if self._closing and not self._wanted:
                        return
                    self._changed.wait(self._pause_s())
                for job in due:
                    del self._wanted[job]
            for job in due:
                self._ring(job)

    def _due(self) -> list[Job]:
        now = math.inf if self._closing else time.monotonic()
        return [job for job in self._wanted if self._not_before.get(job, 0) <= now]

    def _pause_s(self) -> float | None:
        if not self._wanted:
            return None
        return max(0.0, min(self._not_before.get(job, 0) for job in self._wanted) - time.monotonic())

    def _ring(self, job: Job) -> None:
        started = time.monotonic()
        try:
            failpoints.hit("ring.before_send")
            message = self._messages.get(job) or self._messages.setdefault(job, message_of(job))
            was_needed = self._breaker.call(self._broker.ring, message)
            failpoints.hit("ring.after_send")
            self.rung += was_needed
            self._not_before[job] = time.monotonic() + _PAUSES_S[not was_needed]
        except pybreaker.CircuitBreakerError:
            return  # just tried; the sweeper and the workers' own looks stand in
        except Exception as error:  # noqa: BLE001  whatever Redis does, the rows are committed
            log.warning(
                "ring_failed",
                job=job.name,
                error=type(error).__name__,
                took_s=round(time.monotonic() - started, 3),
            )


def message_of(job: Job) -> dramatiq.Message[None]:
    """The job as Dramatiq carries it; made from names, so that whoever rings needs no actor."""
    return dramatiq.Message(queue_name=job.queue, actor_name=job.name, args=job.args, kwargs={}, options={})
