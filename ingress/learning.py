"""What successive backlogs teach about the dialling: how fast it is, how long calls last, what keeps coming. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ingress import admission
from ingress.admission import Inflow, Speed
from shared.backlog import Backlog
from shared.lifecycle import TYPES, Lane

_OTP: Final = frozenset({Lane.OTP})
_BULK: Final = frozenset(TYPES) - _OTP

#: How fast the past fades, in seconds: of a rate, of how long calls last, of the time from accepting to dialling.
_RATE_FADES_S: Final = 3.0
_CALL_FADES_S: Final = 120.0
_QUICK_FADES_S: Final = 5.0
#: Workers that dialled nothing for so long, in seconds, are measured again when they were back for so long.
_BREAK_S: Final = 0.5
_WARM_S: Final = 1.0
#: What was measured in a backlog fades this fast, in seconds, once nobody waits.
_IDLE_FADES_S: Final = 60.0
#: An inflow is measured over about so many seconds.
_INFLOW_FADES_S: Final = 2.0
#: Ended calls that tell how long calls last.
_FEWEST_ENDED: Final = 20
#: No call is taken to be shorter, in seconds.
_SHORTEST_S: Final = 1.0
#: Time from accepting to dialling that is believed without a backlog, in seconds.
_QUICKEST_S, _SLOWEST_S = 0.001, 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """The speed, and what it is worked out from."""

    speed: Speed
    flown_s: float = 0.0  # time that calls were in flight
    ended: float = 0.0  # calls
    warm_at: Mapping[frozenset[Lane], float] = field(default_factory=dict)  # dialled at their usual speed from then on


def learn(known: Learned, before: Backlog, now: Backlog) -> Learned:
    """What the time between two backlogs tells."""
    took_s = now.at - before.at
    if took_s <= 0:
        return known
    dialed = now.dialed - before.dialed
    fading = math.exp(-took_s / _CALL_FADES_S)
    flown_s = known.flown_s * fading + took_s * (before.in_flight + now.in_flight) / 2
    ended = known.ended * fading + max(0, dialed - (now.in_flight - before.in_flight))
    warm_at = {lanes: _warm_at(known.warm_at.get(lanes, 0.0), before, now, lanes) for lanes in (_OTP, _BULK)}
    speed = _idle(_rate(known.speed, before, now, warm_at), before, now)
    if ended >= _FEWEST_ENDED:  # those in flight have half of their time behind them
        speed = replace(speed, call_s=max(_SHORTEST_S, flown_s / (ended + now.in_flight / 2)))
    if now.quick_s is not None and not before.waiting and not now.waiting:
        quick_s = min(_SLOWEST_S, max(_QUICKEST_S, now.quick_s))
        speed = replace(speed, quick_s=_toward(speed.quick_s, quick_s, took_s / _QUICK_FADES_S))
    return Learned(speed, flown_s, ended, warm_at)


def _rate(speed: Speed, before: Backlog, now: Backlog, warm_at: Mapping[frozenset[Lane], float]) -> Speed:
    """
    The rate at which a backlog went down. It tells of the capacity only if enough waited all the time; and a
    standstill tells nothing of the speed after it: messages are taken while nobody dials.
    """
    took_s = now.at - before.at
    if now.dialed > before.dialed and now.held_until <= before.at:
        per_s = _per_s(before, now, _OTP)
        if before.at >= warm_at[_OTP] and min(before.waits(_OTP), now.waits(_OTP)) >= max(5.0, per_s / 4):
            return replace(speed, otp_per_s=_toward(speed.otp_per_s, per_s, took_s / _RATE_FADES_S))
        per_s = _per_s(before, now, _BULK)
        if before.at >= warm_at[_BULK] and min(before.waits(_BULK), now.waits(_BULK)) >= max(5.0, per_s / 4):
            return replace(speed, bulk_per_s=_toward(speed.bulk_per_s, per_s, took_s / _RATE_FADES_S))
    if now.waiting or before.waiting:
        return speed
    idle = took_s / _IDLE_FADES_S
    return replace(
        speed,
        otp_per_s=speed.otp_per_s and _toward(speed.otp_per_s, now.pace, idle),
        bulk_per_s=speed.bulk_per_s and _toward(speed.bulk_per_s, now.pace, idle),
    )


def _per_s(before: Backlog, now: Backlog, lanes: frozenset[Lane]) -> float:
    """Dials a second, of all lanes, until the last of these: workers that stopped since have not slowed down."""
    took_s = now.at - before.at
    if now.last_dials:
        dialed_s = now.last_dial(lanes) - before.last_dial(lanes)
        took_s = min(took_s, max(took_s / 2, dialed_s))  # calls of one claim begin at once
    return (now.dialed - before.dialed) / took_s


def _warm_at(known: float, before: Backlog, now: Backlog, lanes: frozenset[Lane]) -> float:
    """When workers that had a break while these lanes waited are to be measured again."""
    break_s = before.at - before.last_dial(lanes)
    is_break = bool(before.last_dials) and bool(before.waits(lanes)) and break_s > max(_BREAK_S, 2 / now.pace)
    return now.at + _WARM_S if is_break else known


def _idle(speed: Speed, before: Backlog, now: Backlog) -> Speed:
    """Since when nobody dials what waits."""
    otp_since = _idle_since(speed, before, now, Lane.OTP, speed.otp_idle_since)
    bulk_since = None
    if not now.waits(_OTP - now.paused):  # the other lanes give way to it
        bulk_since = _idle_since(speed, before, now, Lane.ALERT, speed.bulk_idle_since)
    return replace(speed, otp_idle_since=otp_since, bulk_idle_since=bulk_since)


def _idle_since(speed: Speed, before: Backlog, now: Backlog, lane: Lane, known: float | None) -> float | None:
    lanes = _OTP if lane in _OTP else _BULK
    is_barred = now.held_until > now.at or now.probe_at is not None or bool(now.source_probe_at)
    if is_barred or not now.waits(lanes - now.paused) or admission.limits(now, speed, lane).free < 1:
        return None
    if not now.last_dials and now.dialed != before.dialed:
        return now.at
    return max(now.at if known is None else known, now.last_dial(lanes))


def inflow(known: Inflow | None, came: float, took_s: float) -> Inflow | None:
    """A queue's inflow after *came* more within *took_s* seconds; None when it is over."""
    per_s = _toward(None if known is None else known.per_s, came / took_s, took_s / _INFLOW_FADES_S)
    if per_s * _INFLOW_FADES_S < 1:
        return None
    return Inflow(per_s, took_s + (0 if known is None else known.lasts_s))


def _toward(old: float | None, new: float, fading: float) -> float:
    return new if old is None else old + (new - old) * (1 - math.exp(-fading))
