"""Refuses what an operator has stopped, and what the day's calls do not suffice for, before it is stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from ingress.cache import Refreshed
from ingress.problems import Problem
from shared.db.queries import daily_calls, stops
from shared.db.queries.daily_calls import Exhausted
from shared.pacing import Pace
from shared.stops import Called, Scope, Stop, covering

#: Between two looks, in seconds: what is known is never older than two.
_EVERY_S: Final = 1.0
#: When to come again while nobody knows how long a stop lasts, and at the latest, in seconds.
_AGAIN_S: Final = 60
_LATEST_S: Final = 3600
_NONE: Final = Exhausted()


@dataclass(frozen=True, slots=True)
class Known:
    """What is stopped, and whose calls are used up."""

    stops: tuple[Stop, ...] = ()
    exhausted: Exhausted = _NONE


def read(connection: Connection, pace: Pace) -> Known:
    """
    What holds now; may commit each statement by itself.

    A lane that is stopped takes messages in: they wait, as the documents say of ``ringpost lanes pause``.
    """
    caps = daily_calls.caps_of(pace)
    refusing = tuple(stop for stop in stops.standing(connection) if stop.scope is not Scope.LANE)
    return Known(refusing, daily_calls.exhausted(connection, caps))


class Switches:
    """The stops and caps as one process knows them."""

    def __init__(self, look: Callable[[], Known]) -> None:
        """
        Args:
            look: Gives what holds now.
        """
        self._known = Refreshed("stops", look, Known(), every_s=_EVERY_S)

    def close(self) -> None:
        """End the thread."""
        self._known.close()

    def check(self, called: Called, scheduled_at: datetime | None, now: float) -> None:
        """
        Let a message pass that may be called.

        Args:
            called: The message.
            scheduled_at: When its call may begin; None: at once.
            now: Seconds since 1970.

        Raises:
            Problem: 503 for what is stopped; 429 where the day's calls are used up before it may begin.
        """
        known = self._known.value
        begins = scheduled_at.timestamp() if scheduled_at else now
        standing = [stop for stop in known.stops if not _is_over(stop, begins)]
        if standing and (stop := covering(standing, called)):
            raise _stopped(stop, now)
        full = known.exhausted
        if (full.is_all or called.provider_id in full.providers) and begins < full.midnight:
            raise Problem(
                "daily_cap_reached",
                "No more calls may be made today; the next day begins at midnight UTC. Nothing was stored.",
                retry_after_s=max(1, math.ceil(full.midnight - now)),
            )


def _is_over(stop: Stop, begins: float) -> bool:
    return stop.until is not None and stop.until.timestamp() <= begins


def _stopped(stop: Stop, now: float) -> Problem:
    left_s = _AGAIN_S if stop.until is None else math.ceil(stop.until.timestamp() - now)
    return Problem(
        "dialing_stopped",
        "The operator has stopped such calls for now. Nothing was stored.",
        retry_after_s=min(_LATEST_S, max(1, left_s)),
    )
