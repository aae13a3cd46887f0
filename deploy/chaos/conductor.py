"""Which drills there are, and one run through some of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill, Result
from deploy.chaos.programmes.ambiguity import ambiguity
from deploy.chaos.programmes.burst import burst
from deploy.chaos.programmes.canary import canary
from deploy.chaos.programmes.deployment import deployment
from deploy.chaos.programmes.failover import failover
from deploy.chaos.programmes.recovery import recovery
from deploy.chaos.programmes.redis import redis
from deploy.chaos.programmes.webhooks import webhooks
from deploy.chaos.stage import Stage

_SETTLE_S: Final = 60.0


class Play(Protocol):
    """A drill's course: breaks things, waits for rest, and says what may happen at most."""

    def __call__(self, drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
        """Play it."""


@dataclass(frozen=True, slots=True)
class Programme:
    """A drill by its name on the command line."""

    name: str
    title: str
    play: Play


PROGRAMMES: Final = (
    Programme("burst", "everything dies again and again", burst),
    Programme("ambiguity", "8x8 takes calls and does not say so", ambiguity),
    Programme("webhooks", "a storm of summaries", webhooks),
    Programme("redis", "Redis is useless", redis),
    Programme("recovery", "every call worker dies at once", recovery),
    Programme("canary", "what is said and to whom is found nowhere", canary),
    Programme("deployment", "three restarts and a migration in mid-burst", deployment),
    Programme("failover", "a standby without the last commits takes over", failover),
)


def chosen(names: Sequence[str]) -> list[Programme]:
    """Those named, else all."""
    return [one for one in PROGRAMMES if not names or one.name in names]


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage in a folder that vanishes with it."""
    with tempfile.TemporaryDirectory(prefix="ringpost-chaos-") as folder, Stage(Path(folder)) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Played:
    """A drill that is over."""

    programme: Programme
    seed: int
    result: Result
    took_s: float


def play(
    programme: Programme,
    on: Stage,
    seed: int,
    tell: Callable[[str], None],
    *,
    quick: bool,
    messages: int | None = None,
) -> Played:
    """Play one drill from a healthy stage to its verdict."""
    began = time.monotonic()
    on.misbehave()
    on.await_ready(_SETTLE_S)
    drill = Drill(on, programme.name, seed, tell)
    with drill.running():
        bounds = programme.play(drill, quick=quick, messages=messages)
    on.misbehave()
    return Played(programme, seed, drill.judge(bounds), time.monotonic() - began)
