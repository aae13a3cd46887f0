"""G3: PostgreSQL dies in the middle of dials, and a standby that lacks the last commits takes its place."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill
from deploy.chaos.evidence import session_of
from deploy.chaos.links import POSTGRES
from deploy.chaos.standby import Standby
from deploy.engines import Home
from shared.db.queries import failover as queries
from shared.db.queries import stops
from shared.lifecycle import Lane
from shared.stops import Scope, Stop

_OTP: Final = Stop(Scope.LANE, Lane.OTP)
_QUICK: Final = 400
_FULL: Final = 1000
_RATE: Final = 200.0
_TTL_S: Final = 300  # what is held must be in time when it is released
#: Of all messages, those whose calls the promoted server does not know of when it takes over, at least.
_LOST: Final = 0.1
_NEW: Final = 40
_NEW_RATE: Final = 20.0
_SETTLED_S: Final = 90.0
#: Replies late enough that dials are under way at any time; no summary comes before the promotion, as one that was
#: answered with 200 would be lost with the tail.
_SLOW: Final = {"slow_reply": {"seconds": 2.0}, "vss_delayed": {"probability": 1.0, "seconds": 12.0}}


def failover(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """Nobody is called twice, what waited is held until it is released, and new messages flow meanwhile."""
    count = messages or (_QUICK if quick else _FULL)
    stage = drill.stage
    assert stage.engines.postgres is not None
    home = Home(stage.settings.ringpost_data_dir)
    with Standby.following(stage.engines.postgres, home, stage.folder / f"standby-{time.monotonic_ns()}") as standby:
        stage.misbehave(**_SLOW)
        stage.database.run(lambda connection: stops.stop(connection, _OTP, reason="drill", by="failover"))
        with drill.load(count, _RATE, ttl_s=_TTL_S, is_mixed=False):
            pass
        stage.database.run(lambda connection: stops.go(connection, _OTP.scope, _OTP.name))
        stage.wait_until(lambda: bool(_called(drill)), "dialling begins")
        standby.await_all()
        standby.cut()
        known = _claimed(drill)
        stage.wait_until(
            lambda: len(_called(drill)) >= known + _LOST * count, "calls that the standby knows nothing of"
        )
        with drill.noted(POSTGRES, "promoted"):
            standby.promote()
            promoted_at = time.time()
            drill.measure("calls that it knows nothing of", len(_called(drill)) - known)
            stage.database.close()
            stage.await_ready()
        stage.misbehave()
        _measure_new(drill, promoted_at)
        _release(drill, promoted_at)
        drill.await_rest(Bounds().drain_s)
    stage.database.close()
    stage.await_ready()
    return Bounds(undetermined=0.0)


def _called(drill: Drill) -> dict[str, float]:
    """When 8x8 took each call of this drill, by dial attempt."""
    calls = {one.request_id or "": one.accepted_at for one in map(session_of, drill.stage.calls())}
    return {request_id: at for request_id, at in calls.items() if at >= drill.since}


def _claimed(drill: Drill) -> int:
    """Dials begun so far, as PostgreSQL knows; those that the standby lacks are not more."""
    return len(drill.gather().attempts)


def _measure_new(drill: Drill, promoted_at: float) -> None:
    """What comes in after the promotion is dialled, whatever is held."""
    held = _held(drill)
    drill.measure("held after the promotion", sum(held.values()))
    before = _called(drill)
    drill.measure("calls before the promotion", sum(at < promoted_at for at in before.values()))
    with drill.load(_NEW, _NEW_RATE, ttl_s=_TTL_S, is_mixed=False):
        pass
    drill.stage.wait_until(lambda: len(_called(drill)) >= len(before) + _NEW, "new messages are dialled", _SETTLED_S)
    drill.measure("new calls while others are held", _NEW)


def _release(drill: Drill, promoted_at: float) -> None:
    """An operator waits until 8x8 has told of every call that it knows of, and releases the rest."""

    def is_settled() -> bool:
        held = drill.stage.database.run(lambda connection: queries.held(connection, limit=10_000))
        return not {row["attempt_id"] for row in held} & _called(drill).keys()

    drill.stage.wait_until(is_settled, "8x8 told of the calls that are held", _SETTLED_S)
    drill.measure("settled by 8x8's reports after, s", time.time() - promoted_at)
    held = sum(_held(drill).values())
    drill.stage.ringpost("failover", "release", "--yes")
    drill.measure("released by the operator", held)
    drill.measure("still held", sum(_held(drill).values()), 0)


def _held(drill: Drill) -> dict[str, int]:
    """Held messages by lane, as `ringpost failover show` tells."""
    shown: dict[str, list[dict[str, Any]]] = json.loads(drill.stage.ringpost("failover", "show", "--json"))
    return {row["lane"]: row["messages"] for row in shown["held"]}
