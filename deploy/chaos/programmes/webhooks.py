"""T4: a storm of summaries: each five times, out of order, some before the answer to the dial, some never."""

from __future__ import annotations

from typing import Final

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill

_QUICK: Final = 300
_FULL: Final = 2000
_RATE: Final = 60.0
_FAULTS: Final = {
    "vss_duplicated": {"copies": 5},
    "vss_before_reply": {"probability": 0.3},
    "vss_delayed": {"probability": 0.3, "seconds": 1.5},
    "vss_dropped": {"probability": 0.1},
}
_TTL_S: Final = 15
_SLACK_S: Final = 5.0


def webhooks(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """Each message ends once, truly, and called back once; what 8x8 never tells is given up in time."""
    drill.stage.misbehave(**_FAULTS)
    with drill.load(messages or (_QUICK if quick else _FULL), _RATE, ttl_s=_TTL_S):
        pass
    drill.await_rest(Bounds().drain_s)
    settings = drill.stage.settings
    speaking_s = 8.0  # more than the plays of the drill's text take
    longest_s = _TTL_S + settings.ring_seconds + speaking_s + settings.vss_grace_seconds
    return Bounds(undetermined=0.0, duplicates=0.0, life_s=longest_s + _SLACK_S)
