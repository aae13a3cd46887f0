"""T6: every call worker dies in mid-burst."""

from __future__ import annotations

import time
from typing import Final

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill

_QUICK: Final = 300
_FULL: Final = 2000
_RATE: Final = 60.0
_CALLERS: Final = ("calls-otp", "calls-bulk")
_FIRST_DIAL_S: Final = 3.0
_ALL_DIALS_S: Final = 15.0


def recovery(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """The first new dial comes soon after the kill, and what nobody had touched is dialled shortly after."""
    count = messages or (_QUICK if quick else _FULL)
    with drill.load(count, _RATE, is_mixed=False):
        time.sleep(count / _RATE / 2)
        for role in _CALLERS:
            drill.kill(role)
        killed_at = time.time()
    drill.await_rest(Bounds().drain_s)
    evidence = drill.gather()
    dialled = sorted(call.accepted_at for call in evidence.sessions if call.accepted_at > killed_at)
    drill.measure("first dial after the kill, s", dialled[0] - killed_at, _FIRST_DIAL_S)
    waited = {row.id for row in evidence.rows if row.created_at < killed_at}
    asked = {attempt.attempt_id for attempt in evidence.attempts if attempt.id in waited}
    late = [call.accepted_at - killed_at for call in evidence.sessions if call.request_id in asked]
    drill.measure("last dial of what had waited, s", max([0.0, *late]), _ALL_DIALS_S)
    # What was on its way from a dead worker to 8x8 may be in doubt: no more than its senders.
    return Bounds(undetermined=drill.stage.settings.dial_senders / count)
