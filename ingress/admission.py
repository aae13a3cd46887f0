"""
When a message would be dialled, and whether that is in time. Pure.

The model is the claim's: otp before the other lanes, providers in equal shares of the calls in flight, a provider's
messages by deadline, no more than so many dials a second and calls in flight.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.backlog import Backlog, Queue, Waiting
from shared.lifecycle import TYPES, Lane

#: Lanes other than otp leave this share of the calls in flight alone.
_OTP_RESERVE: Final = 0.2
#: Dials that a pause saves up, in seconds of the pace.
_BURST_S: Final = 0.2
#: Nobody dials, though some wait: shorter is nothing, and longer is an outage of which nobody can tell the end, in
#: seconds. Between them workers are being replaced, and what lasted so long is taken to last as long again.
_SHORT_S: Final = 1.0
_OUTAGE_S: Final = 15.0
#: Longer than any lifetime, in seconds: what never ends counts as this.
NEVER_S: Final = 2 * 86_400.0
#: Points of the curve from a place in the queue to all that comes before.
_POINTS: Final = 40
#: The longest queues whose ends, where the curve bends, are points of their own.
_BENDS: Final = 20


@dataclass(frozen=True, slots=True)
class Inflow:
    """Messages that keep coming into one queue."""

    per_s: float
    lasts_s: float  # so far; it is taken to go on for as long again

    def within(self, wait_s: float) -> float:
        """How many more come while somebody waits so long."""
        return self.per_s * min(wait_s, self.lasts_s)


NO_INFLOW: Final = Inflow(0, 0)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the dialling was found to be."""

    otp_per_s: float | None = None  # while otp waited
    bulk_per_s: float | None = None  # while only others did
    call_s: float = 30.0  # how long a call stays in flight
    quick_s: float = 0.01  # from accepting to dialling when nobody waits
    otp_idle_since: float | None = None  # nobody dials, though otp waits
    bulk_idle_since: float | None = None  # the same of the other lanes


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast one lane is dialled."""

    per_s: float
    saved: float  # dials that may come at once
    lines: float
    free: float  # of the lines
    call_s: float
    held_s: float
    idle_s: float = 0.0  # so long nobody dials, though some wait

    def wait_s(self, ahead: float) -> float:
        """Seconds until *ahead* are dialled: by the pace, and by the calls that must end first."""
        by_pace = (ahead - self.saved) / self.per_s
        by_lines = (ahead - self.free) * self.call_s / self.lines
        return self.held_s + min(NEVER_S, max(0.0, by_pace, by_lines))


def limits(backlog: Backlog, speed: Speed, lane: str) -> Limits:
    """What limits a lane now."""
    is_otp = lane == Lane.OTP
    seen = (speed.otp_per_s or speed.bulk_per_s) if is_otp else (speed.bulk_per_s or speed.otp_per_s)
    idle_since = speed.otp_idle_since if is_otp else speed.bulk_idle_since
    idle_s = 0.0 if idle_since is None else backlog.at - idle_since
    lines = max(1.0, backlog.lines if is_otp else math.floor(backlog.lines * (1 - _OTP_RESERVE)))
    return Limits(
        per_s=min(backlog.pace, seen or backlog.pace),
        saved=0.0 if backlog.waiting else _BURST_S * backlog.pace,
        lines=lines,
        free=max(0.0, lines - backlog.in_flight),
        call_s=speed.call_s,
        held_s=max(0.0, backlog.held_until - backlog.at),
        idle_s=idle_s if is_standstill(idle_s, backlog.pace) else 0.0,
    )


def is_standstill(idle_s: float, pace: float) -> bool:
    """Whether nobody dials, rather than somebody slowly."""
    return idle_s > max(_SHORT_S, 2 / pace)


@dataclass(frozen=True, slots=True)
class Before:
    """One point of a curve: at this level of calls of each provider so many come before, which takes so long."""

    level: float
    ahead: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """A backlog with what follows from it, ready to be asked for each message."""

    backlog: Backlog
    speed: Speed
    inflows: Mapping[Queue, Inflow] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    curves: Mapping[str, tuple[Before, ...]] = field(default_factory=dict)


def outlook(backlog: Backlog, speed: Speed, inflows: Mapping[Queue, Inflow]) -> Outlook:
    """Work out in advance, for every lane, who comes before whom."""
    longest = max((sum(one.count for one in classes) for classes in backlog.waiting.values()), default=0)
    top = 2 * (longest + max(backlog.flying.values(), default=0)) + 1000
    bends = heapq.nlargest(
        _BENDS,
        (
            sum(one.count for one in classes) + backlog.flying.get(provider_id, 0)
            for (_, provider_id), classes in backlog.waiting.items()
        ),
    )
    levels = sorted({*(top * (point / _POINTS) ** 2 for point in range(_POINTS + 1)), *map(float, bends)})
    by_lane = {str(lane): limits(backlog, speed, lane) for lane in TYPES}
    curves = {lane: _curve(backlog, inflows, lane, by_lane[lane], levels) for lane in by_lane}
    return Outlook(backlog, speed, inflows, by_lane, curves)


def _curve(
    backlog: Backlog, inflows: Mapping[Queue, Inflow], lane: str, limit: Limits, levels: list[float]
) -> tuple[Before, ...]:
    queues = [
        (sum(one.count for one in backlog.waiting.get(queue, ())), inflows.get(queue, NO_INFLOW), queue)
        for queue in backlog.waiting.keys() | inflows.keys()
        if queue[0] not in backlog.paused
    ]
    passing = [(waiting, inflow) for waiting, inflow, queue in queues if queue[0] == Lane.OTP != lane]
    sharing = [
        (waiting, inflow, backlog.flying.get(queue[1], 0))
        for waiting, inflow, queue in queues
        if (queue[0] == Lane.OTP) == (lane == Lane.OTP)
    ]

    def count(level: float, wait_s: float) -> float:
        """Of each other provider no more than its fair share; and all otp before any other lane."""
        return sum(waiting + inflow.within(wait_s) for waiting, inflow in passing) + sum(
            min(max(0.0, level - flying), waiting + inflow.within(wait_s)) for waiting, inflow, flying in sharing
        )

    points: list[Before] = []
    wait_s = 0.0
    for level in levels:
        for _ in range(20):  # who waits longer sees more come in before; it settles, or there is no end to it
            longer_s = max(wait_s, limit.wait_s(count(level, wait_s)))
            settled, wait_s = longer_s - wait_s <= 0.01 * wait_s + 0.001, longer_s
            if settled:
                break
        points.append(Before(level, count(level, wait_s), wait_s))
    return tuple(points)


def _at(curve: tuple[Before, ...], level: float) -> tuple[float, float]:
    """Ahead and wait at a level, between two points or beyond the last."""
    right = min(max(1, bisect_right(curve, level, key=lambda point: point.level)), len(curve) - 1)
    low, high = curve[right - 1], curve[right]
    share = (level - low.level) / (high.level - low.level)
    return low.ahead + share * (high.ahead - low.ahead), low.wait_s + share * (high.wait_s - low.wait_s)


@dataclass(frozen=True, slots=True)
class Asked:
    """The message to estimate for."""

    lane: str
    provider_id: str
    begins: float  # now or later
    deadline: float
    source: str | None = None
    since: float = 0.0  # of its queue, with an earlier deadline, accepted after the backlog was read
    first_since: float = 0.0  # when the first of them was


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the sender is told. None: nobody can tell: it depends on an operator, on 8x8's mind, or on idle workers."""

    dial_at: float | None
    will_meet_deadline: bool | None
    not_before: float  # by our best knowledge it is not dialled before


#: What is held by a stop waits for an operator.
UNTOLD: Final = Estimate(None, None, 0.0)


def estimate(view: Outlook, asked: Asked, now: float) -> Estimate:
    """When the message would be dialled, were it accepted now."""
    backlog = view.backlog
    soonest = max(now, asked.begins) + view.speed.quick_s
    dial_at = likely_at = soonest
    idle_s = 0.0
    if view.curves:
        # An empty queue is not dialled before something comes.
        begun = backlog.at if backlog.waiting else max(backlog.at, asked.first_since)
        idle_s = view.limits[asked.lane].idle_s
        by_speed = begun + _wait_s(view, asked) + view.speed.quick_s
        dial_at, likely_at = max(soonest, by_speed), max(soonest, by_speed + idle_s)
    probes = [moment for moment in (backlog.probe_at, backlog.source_probe_at.get(asked.source or "")) if moment]
    if probes or asked.lane in backlog.paused:
        not_before = max([soonest, *probes])
        return Estimate(None, None if not_before < asked.deadline else False, not_before)
    # Refused is only what the speed forbids: idle workers may be back any moment.
    late = None if dial_at < asked.deadline else False
    if idle_s > _OUTAGE_S:
        return Estimate(None, late, dial_at)
    return Estimate(likely_at, True if likely_at < asked.deadline else late, dial_at)


def _wait_s(view: Outlook, asked: Asked) -> float:
    """From the backlog's moment to the dial."""
    queue = (asked.lane, asked.provider_id)
    classes = view.backlog.waiting.get(queue, ())
    own = place(classes, asked.deadline) + asked.since
    ahead, wait_s = _at(view.curves[asked.lane], own + view.backlog.flying.get(asked.provider_id, 0))
    # The curve holds the own queue, too, but knows neither the message's deadline nor what was accepted since.
    held = sum(one.count for one in classes) + view.inflows.get(queue, NO_INFLOW).within(wait_s)
    return view.limits[asked.lane].wait_s(max(0.0, ahead - min(own, held)) + own)


def place(classes: tuple[Waiting, ...], deadline: float) -> float:
    """How many of these come before *deadline*, taking them to lie evenly within their class."""
    before = 0.0
    for one in classes:
        if one.latest <= deadline:
            before += one.count
        elif one.earliest < deadline:
            before += one.count * (deadline - one.earliest) / (one.latest - one.earliest)
    return before
