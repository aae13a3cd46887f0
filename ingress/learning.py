"""What successive backlogs teach about the dialling: how fast it is, how long calls last, what keeps coming. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from ingress.admission import Inflow, Speed
from shared.backlog import Backlog
from shared.lifecycle import Lane

#: How fast the past fades, in seconds: of a rate, of how long calls last, of the time from accepting to dialling.
_RATE_FADES_S: Final = 3.0
_CALL_FADES_S: Final = 120.0
_QUICK_FADES_S: Final = 5.0
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


def learn(known: Learned, before: Backlog, now: Backlog) -> Learned:
    """What the time between two backlogs tells."""
    took_s = now.at - before.at
    if took_s <= 0:
        return known
    dialed = now.dialed - before.dialed
    fading = math.exp(-took_s / _CALL_FADES_S)
    flown_s = known.flown_s * fading + took_s * (before.in_flight + now.in_flight) / 2
    ended = known.ended * fading + max(0, dialed - (now.in_flight - before.in_flight))
    speed = _rate(known.speed, before, now)
    if ended >= _FEWEST_ENDED:  # those in flight have half of their time behind them
        speed = replace(speed, call_s=max(_SHORTEST_S, flown_s / (ended + now.in_flight / 2)))
    if now.quick_s is not None and not before.waiting and not now.waiting:
        quick_s = min(_SLOWEST_S, max(_QUICKEST_S, now.quick_s))
        speed = replace(speed, quick_s=_toward(speed.quick_s, quick_s, took_s / _QUICK_FADES_S))
    return Learned(speed, flown_s, ended)


def _rate(speed: Speed, before: Backlog, now: Backlog) -> Speed:
    """
    The rate at which a backlog went down. It tells of the capacity only if enough waited all the time; and a
    standstill tells nothing of the speed after it: messages are taken while nobody dials.
    """
    took_s = now.at - before.at
    per_s = (now.dialed - before.dialed) / took_s
    enough = max(5.0, per_s / 4)
    if per_s > 0 and now.held_until <= before.at:
        if min(before.waits({Lane.OTP}), now.waits({Lane.OTP})) >= enough:
            return replace(speed, otp_per_s=_toward(speed.otp_per_s, per_s, took_s / _RATE_FADES_S))
        if min(before.waits(set(Lane)), now.waits(set(Lane))) >= enough:
            return replace(speed, bulk_per_s=_toward(speed.bulk_per_s, per_s, took_s / _RATE_FADES_S))
    if now.waiting or before.waiting:
        return speed
    idle = took_s / _IDLE_FADES_S
    return replace(
        speed,
        otp_per_s=speed.otp_per_s and _toward(speed.otp_per_s, now.pace, idle),
        bulk_per_s=speed.bulk_per_s and _toward(speed.bulk_per_s, now.pace, idle),
    )


def inflow(known: Inflow | None, came: float, took_s: float) -> Inflow | None:
    """A queue's inflow after *came* more within *took_s* seconds; None when it is over."""
    per_s = _toward(None if known is None else known.per_s, came / took_s, took_s / _INFLOW_FADES_S)
    if per_s * _INFLOW_FADES_S < 1:
        return None
    return Inflow(per_s, took_s + (0 if known is None else known.lasts_s))


def _toward(old: float | None, new: float, fading: float) -> float:
    return new if old is None else old + (new - old) * (1 - math.exp(-fading))
