"""T5: Redis is useless: down, mute, full, or emptied all the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis as client

from deploy.bench.figures import percentile
from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill
from deploy.chaos.faults import Fault, Kind
from deploy.chaos.links import REDIS
from deploy.chaos.records import Evidence
from deploy.chaos.records import Kind as Noted
from deploy.chaos.repeated import repeated

_QUICK: Final = 100
_FULL: Final = 500
_RATE: Final = 60.0
_WORSE_S: Final = 0.05  # that the slowest requests may take longer than usual
_TO_DIAL_S: Final = 5.0
_FLUSH_S: Final = 1.0
_BURSTS: Final = ("usual", "down", "mute", "full", "emptied")


def redis(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """A burst as usual, then one with each kind of uselessness; a sender notices nothing but milliseconds."""
    count = messages or (_QUICK if quick else _FULL)
    for useless in (_usual, _down, _mute, _full, _emptied):
        with useless(drill), drill.load(count, _RATE, is_mixed=False):
            pass
    drill.await_rest(Bounds().drain_s)
    evidence = drill.gather()
    took = [1000 * percentile(_took(evidence, f"{drill.name}{place}-"), 0.99) for place in range(1, len(_BURSTS) + 1)]
    drill.measure("request p99 as usual, ms", took[0])
    for name, took_ms in zip(_BURSTS[1:], took[1:], strict=True):
        drill.measure(f"request p99, Redis {name}, ms", took_ms, took[0] + 1000 * _WORSE_S)
    drill.measure("accept to dial p99, s", percentile(_waits(evidence), 0.99), _TO_DIAL_S)
    return Bounds(undetermined=0.0)


def _took(evidence: Evidence, prefix: str) -> list[float]:
    """Seconds of each request of one burst, in order of size."""
    asked = (event.facts for event in evidence.history if event.kind is Noted.SUBMIT)
    return sorted(facts["took"] for facts in asked if facts["message"].startswith(prefix))


def _waits(evidence: Evidence) -> list[float]:
    """Seconds from each message's acceptance to its call, in order of size."""
    created = {row.id: row.created_at for row in evidence.rows}
    asked = {attempt.attempt_id: created[attempt.id] for attempt in evidence.attempts if attempt.id in created}
    return sorted(call.accepted_at - asked[call.request_id] for call in evidence.sessions if call.request_id in asked)


@contextmanager
def _usual(_drill: Drill) -> Iterator[None]:
    yield


@contextmanager
def _down(drill: Drill) -> Iterator[None]:
    with drill.faults(REDIS, Fault(kind=Kind.REFUSE)):
        yield


@contextmanager
def _mute(drill: Drill) -> Iterator[None]:
    with drill.faults(REDIS, Fault(kind=Kind.BLACK_HOLE)):
        yield


@contextmanager
def _full(drill: Drill) -> Iterator[None]:
    with client.Redis.from_url(drill.stage.engines.redis_url) as server, drill.noted(REDIS, "full"):
        server.config_set("maxmemory", "1")
        try:
            yield
        finally:
            server.config_set("maxmemory", "0")


@contextmanager
def _emptied(drill: Drill) -> Iterator[None]:
    with (
        client.Redis.from_url(drill.stage.engines.redis_url) as server,
        drill.noted(REDIS, "emptied"),
        repeated(server.flushall, _FLUSH_S, "emptier"),
    ):
        yield
