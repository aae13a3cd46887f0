"""Which drills there are, and one run through some of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from deploy.chaos import held_plot, plot
from deploy.chaos.checker import Bounds
from deploy.chaos.drill import Drill, Result
from deploy.chaos.programmes.ambiguity import ambiguity
from deploy.chaos.programmes.burst import burst
from deploy.chaos.programmes.canary import canary
from deploy.chaos.programmes.deployment import deployment
from deploy.chaos.programmes.failover import failover
from deploy.chaos.programmes.hostile import hostile
from deploy.chaos.programmes.recovery import recovery
from deploy.chaos.programmes.redis import redis
from deploy.chaos.programmes.soak import CALLBACK_TIME, RATE, soak
from deploy.chaos.programmes.webhooks import webhooks
from deploy.chaos.records import Evidence
from deploy.chaos.stage import Stage

_SETTLE_S: Final = 60.0


class Play(Protocol):
    """A drill's course: breaks things, waits for rest, and says what may happen at most."""

    def __call__(self, drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
        """Play it."""


#: Draws a drill's evidence under a title into a file; nothing without matplotlib.
Draw = Callable[[Evidence, str, Path], Path | None]


@dataclass(frozen=True, slots=True)
class Programme:
    """A drill by its name on the command line."""

    name: str
    title: str
    play: Play
    draw: Draw = plot.draw
    per_minute: int | None = None  # messages, of a drill that takes so long that it is played only when it is named
    settings: Mapping[str, Any] = field(default_factory=dict)  # where it needs others than the drills' own

    def messages_in(self, minutes: float | None) -> int | None:
        """How many it sends in that time; None for its own count."""
        return None if minutes is None or self.per_minute is None else round(minutes * self.per_minute)


PROGRAMMES: Final = (
    Programme("burst", "everything dies again and again", burst),
    Programme("ambiguity", "8x8 takes calls and does not say so", ambiguity),
    Programme("webhooks", "a storm of summaries", webhooks),
    Programme("redis", "Redis is useless", redis),
    Programme("recovery", "every call worker dies at once", recovery),
    Programme("canary", "what is said and to whom is found nowhere", canary),
    Programme("deployment", "three restarts and a migration in mid-burst", deployment),
    Programme("failover", "a standby without the last commits takes over", failover),
    Programme("hostile", "endpoints that drip, swallow and send bombs", hostile),
    Programme("soak", "half an hour of traffic", soak, held_plot.draw, round(60 * RATE), CALLBACK_TIME),
)


def chosen(names: Sequence[str]) -> list[Programme]:
    """Those named, else all but the long ones."""
    return [one for one in PROGRAMMES if one.name in names or (not names and one.per_minute is None)]


@contextmanager
def stage(*programmes: Programme) -> Iterator[Stage]:
    """A stage for these drills, in a folder that vanishes with it."""
    changes = {name: value for one in programmes for name, value in one.settings.items()}
    with tempfile.TemporaryDirectory(prefix="ringpost-chaos-") as folder, Stage(Path(folder), **changes) as running:
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
