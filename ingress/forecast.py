"""The outlook of this process: read anew while messages come in, with what it accepted meanwhile."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ingress import admission, learning
from ingress.admission import Asked, Estimate, Inflow, Outlook, Speed
from ingress.cache import Refreshed
from ingress.learning import Learned
from shared.backlog import Backlog, Queue

_EVERY_S: Final = 0.5
#: Reading may take this share of a core, in this process and PostgreSQL together; with a long backlog it rests longer.
_SHARE: Final = 0.05

#: Promises and arrivals that are remembered between two readings.
_MOST_KEPT: Final = 100_000

_Came = dict[Queue, list[float]]


class Forecast:
    """Estimates for messages that come in now."""

    def __init__(self, read: Callable[[], Backlog], first: Backlog, *, processes: int, call_s: float) -> None:
        """
        Args:
            read: Gives the backlog as it is.
            first: What to go by until that was read.
            processes: Of the ingress: each is taken to accept as much as this one.
            call_s: How long a call stays in flight until that is known, in seconds.
        """
        self._read = read
        self._processes = processes
        self._lock = threading.Lock()
        self._learned = Learned(Speed(call_s=call_s))
        self._inflows: dict[Queue, Inflow] = {}
        self._clock_ahead_s = 0.0  # the database's clock
        self._before: Backlog | None = None
        self._began = time.time()
        self._view = admission.outlook(replace(first, at=time.time()), self._learned.speed, {})
        self._came: _Came = {}  # deadlines of what was accepted since the view's backlog was read, rising
        self._next: _Came | None = None  # the same of the one that is being read
        self._first_came = 0.0  # when the first of them was accepted
        self._promised: dict[str, Estimate] = {}
        self._promised_before: dict[str, Estimate] = {}
        self._refreshed = Refreshed("backlog", self._refresh, None, every_s=_EVERY_S, share=_SHARE)

    def close(self) -> None:
        """End the thread."""
        self._refreshed.close()

    def now(self) -> float:
        """Seconds since 1970 by the database's clock, as far as is known."""
        return time.time() + self._clock_ahead_s

    def estimate(self, asked: Asked) -> Estimate:
        """When a message would be dialled."""
        queue = (asked.lane, asked.provider_id)
        with self._lock:
            view, came = self._view, self._came.get(queue)
            since: float = bisect_right(came, asked.deadline) if came else 0
            first_since = self._first_came
        now = self.now()
        if queue in view.inflows:  # what other processes let in is known by what they did before
            elsewhere = 1 - 1 / self._processes
            since += view.inflows[queue].per_s * max(0.0, now - view.backlog.at) * elsewhere
        here = Asked(asked.lane, asked.provider_id, asked.begins, asked.deadline, asked.source, since, first_since)
        return admission.estimate(view, here, now)

    def promise(self, id_: str, asked: Asked, told: Estimate) -> None:
        """The message is about to be stored: those after it come after it."""
        queue = (asked.lane, asked.provider_id)
        self._refreshed.hurry()
        with self._lock:
            if len(self._promised) >= _MOST_KEPT:  # nothing is read, so PostgreSQL is away and nothing is stored
                self._promised.clear()
                self._came.clear()
            self._promised[id_] = told
            if asked.begins <= self.now():
                self._first_came = self._first_came or asked.begins
                for came in (self._came, self._next):
                    if came is not None:
                        insort(came.setdefault(queue, []), asked.deadline)

    def promised(self, id_: str) -> Estimate | None:
        """What was told of a message a moment ago, once."""
        return self._promised.pop(id_, None) or self._promised_before.pop(id_, None)

    @property
    def view(self) -> Outlook:
        """What estimates go by."""
        return self._view

    def _refresh(self) -> None:
        began = time.time()
        with self._lock:
            self._next = {}
            counts = {queue: len(deadlines) * self._processes for queue, deadlines in self._came.items()}
        backlog = self._read()
        ended = time.time()
        if self._before is not None:
            self._learned = learning.learn(self._learned, self._before, backlog)
            self._inflows = _inflows(self._inflows, counts, began - self._began)
        self._before, self._began = backlog, began
        view = admission.outlook(backlog, self._learned.speed, self._inflows)
        with self._lock:
            self._view = view
            self._came, self._next = self._next or {}, None
            self._clock_ahead_s = backlog.at - (began + ended) / 2
            self._first_came = backlog.at if self._came else 0.0
            self._promised_before, self._promised = self._promised, {}


def _inflows(known: dict[Queue, Inflow], counts: dict[Queue, int], took_s: float) -> dict[Queue, Inflow]:
    found = {
        queue: learning.inflow(known.get(queue), counts.get(queue, 0), took_s) for queue in known.keys() | counts.keys()
    }
    return {queue: one for queue, one in found.items() if one is not None}
