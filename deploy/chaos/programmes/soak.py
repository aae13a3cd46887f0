"""T12: half an hour of steady traffic, the last minutes of it broken: nothing grows, nothing gets slower."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill
from deploy.chaos.faults import Fault, Kind
from deploy.chaos.links import POSTGRES, RECEIVER, VOICE, Disturbance, disturbances
from deploy.chaos.programmes.burst import FAULTS
from deploy.chaos.records import Evidence
from deploy.chaos.schedule import Blow, Wanted, strikes
from deploy.chaos.steadiness import Figure, Spans, figures
from deploy.chaos.watch import Watch
from shared.lifecycle import DOUBTFUL

RATE: Final = 50.0
_QUICK: Final = 3000
_FULL: Final = 90_000
_TTL_S: Final = 20
#: Parts of the whole: processes may find their size in the first, everything is broken in the last.
_PART: Final = 6
_LOOK_S: Final = 60.0
_EVERY_S: Final = 5.0
_REST_S: Final = 30.0
#: As in production; other drills are in a hurry, and give an endpoint 2 s.
CALLBACK_TIME: Final = {"callback_timeout_seconds": 5}
#: For so many seconds: less than an exchange (4 s with 8x8, 5 s with an endpoint), and less than a lease, may take; and
#: so long that the calls of either lane, 20 a second of the smaller one, need all 64 senders.
_STOPS_S: Final = ((VOICE, 3.5), (POSTGRES, 5.0), (RECEIVER, 3.0), (VOICE, 3.5), (RECEIVER, 3.0))
_KILL_S: Final = 6.0  # between two
_FAULT_S: Final = 15.0  # of the links, between two


def soak(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """Look at rest, send, break, and look at rest again."""
    count = messages or (_QUICK if quick else _FULL)
    seconds = count / RATE
    part_s = seconds / _PART
    scale = min(1.0, seconds / (_FULL / RATE))
    rest_s = max(3.0, _REST_S * scale)
    with Watch(drill.stage, drill.history, max(0.5, _EVERY_S * scale)).running():
        time.sleep(rest_s)
        loaded_s = drill.history.now_s()
        spans = Spans(
            loaded_s=loaded_s,
            warm_s=loaded_s + part_s,
            broken_s=loaded_s + seconds - part_s,
            look_s=max(5.0, _LOOK_S * scale),
        )
        with drill.load(count, RATE, ttl_s=_TTL_S):
            with drill.disturbed(_stops(part_s)):
                drill.sleep_until(spans.broken_s)
            _break(drill, part_s)
        drill.await_rest(Bounds().drain_s)
        time.sleep(rest_s)
    evidence = drill.gather()
    for figure in (*figures(evidence, spans), *_untouched(evidence, drill, spans)):
        drill.measure(figure.name, figure.value, figure.most)
    share = 1 / _PART  # of the time, and so of the messages that faults may touch
    return Bounds(undetermined=Bounds().undetermined * share, duplicates=Bounds().duplicates * share)


def _stops(part_s: float) -> list[Disturbance]:
    """
    Each link stands still once while processes find their size.

    Every pool of threads and connections is used up then, and as much waits as after a fault: what grows later has no
    limit.
    """
    gap_s = part_s / (2 * len(_STOPS_S))
    stop = Fault(kind=Kind.BLACK_HOLE)
    return [
        Disturbance(at_s=gap_s * place, for_s=min(for_s, gap_s / 2), link=link, fault=stop)
        for place, (link, for_s) in enumerate(_STOPS_S, start=1)
    ]


def _break(drill: Drill, seconds: float) -> None:
    """Kill processes and engines, and let links go wrong, for so long."""
    wanted = Wanted(
        seconds=seconds,
        kills=max(2, round(seconds / _KILL_S)),
        redis=[Blow.REDIS_WIPED, Blow.REDIS_RESTORED, Blow.REDIS] if seconds > 2 * _LOOK_S else [Blow.REDIS],
        postgres=2 if seconds > 2 * _LOOK_S else 1,
        roles=drill.stage.roles,
    )
    drill.stage.misbehave(**FAULTS)
    drill.stage.keep_redis()
    with drill.disturbed(disturbances(max(1, round(seconds / _FAULT_S)), seconds, drill.seed)):
        drill.strike_all(strikes(wanted, drill.seed))
    drill.stage.misbehave()


def _untouched(evidence: Evidence, drill: Drill, spans: Spans) -> list[Figure]:
    """What became of the messages that were over before the first fault: nothing may be in doubt, or told twice."""
    until = drill.since + spans.broken_s - _TTL_S
    early = {row.message_id: row for row in evidence.rows if row.created_at < until}
    told = Counter((one.message_id, one.type) for one in evidence.deliveries if one.message_id in early)
    return [
        Figure("before the faults: messages", len(early)),
        Figure("before the faults: undetermined", sum(row.status in DOUBTFUL for row in early.values()), 0),
        Figure("before the faults: told twice", sum(count > 1 for count in told.values()), 0),
    ]
