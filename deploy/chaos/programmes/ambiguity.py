"""T3: 8x8 takes the callflow, and its answer never comes, or says nothing."""

from __future__ import annotations

from typing import Final

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill
from deploy.chaos.faults import Fault, Kind
from deploy.chaos.links import VOICE

_QUICK: Final = 200
_FULL: Final = 2000
_RATE: Final = 60.0

#: Each takes a third of the dials: by the network, and by 8x8 itself.
_NETWORK: Final = (Fault(kind=Kind.CUT_REPLY, share=0.5), Fault(kind=Kind.DELAY_REPLY, seconds=6.0, share=0.2))
_UPSTREAM: Final = {
    "error_empty": {"created": True, "probability": 0.15},
    "bad_gateway_html": {"created": True, "probability": 0.15},
    "garbage_body": {"probability": 0.1},
}
_SILENT: Final = {"vss_dropped": {"probability": 0.02}}  # half a minute until those are given up


def ambiguity(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """Nobody is called twice, and every summary that comes settles its message."""
    count = messages or (_QUICK if quick else _FULL)
    drill.stage.misbehave(**_UPSTREAM, **({} if quick else _SILENT))
    with drill.faults(VOICE, *_NETWORK), drill.load(count, _RATE, is_mixed=False):
        pass
    drill.await_rest(Bounds().drain_s)
    # A summary that came must have settled its message, so no doubt is left but where 8x8 was silent.
    return Bounds(undetermined=0.0)
