"""T1: a burst while everything that can die dies again and again."""

from __future__ import annotations

from typing import Final

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill
from deploy.chaos.links import disturbances
from deploy.chaos.schedule import Blow, Wanted, strikes

#: What 8x8 gets wrong throughout.
FAULTS: Final = {
    "vss_before_reply": {"probability": 0.03},
    "vss_duplicated": {"probability": 0.05, "copies": 2},
    "vss_delayed": {"probability": 0.05, "seconds": 2.0},
    "slow_reply": {"probability": 0.01, "seconds": 1.0},
}
#: A few summaries never come: their messages must end undetermined.
_SILENT: Final = {"vss_dropped": {"probability": 0.002}}
_QUICK: Final = 1500
_FULL: Final = 20_000
_QUICK_RATE: Final = 60.0
_FULL_RATE: Final = 100.0
_KEPT_AT_S: Final = 1.0


def burst(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """Send, strike, and let it come to rest."""
    count, rate = messages or (_QUICK if quick else _FULL), _QUICK_RATE if quick else _FULL_RATE
    seconds = count / rate
    redis = [Blow.REDIS_WIPED, Blow.REDIS_RESTORED]
    if not quick:
        redis += [Blow.REDIS_WIPED, *[Blow.REDIS] * 3]
    wanted = Wanted(
        seconds=seconds,
        kills=8 if quick else max(66, round(seconds / 5.5)),
        redis=redis,
        postgres=1 if quick else 3,
        roles=drill.stage.roles,
    )
    drill.stage.misbehave(**FAULTS, **(_SILENT if count >= _QUICK else {}))
    shaken = disturbances(4 if quick else 20, seconds, drill.seed)
    with drill.load(count, rate, ttl_s=15 if quick else 20), drill.disturbed(shaken):
        drill.stage.keep_redis()
        drill.strike_all(strikes(wanted, drill.seed))
    drill.await_rest(Bounds().drain_s)
    return Bounds()
