"""What is measured, in which order, and the run itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.bench.generator import Generator
from deploy.bench.load.receivers import HANGS
from deploy.bench.measures.accept import accept
from deploy.bench.measures.admission import admission
from deploy.bench.measures.audit import audit
from deploy.bench.measures.burst import burst
from deploy.bench.measures.callbacks import callbacks
from deploy.bench.measures.dashboard import dashboard
from deploy.bench.measures.drain import drain
from deploy.bench.measures.fairness import fairness
from deploy.bench.measures.growth import growth
from deploy.bench.measures.latency import idle, latency, load
from deploy.bench.measures.memory import memory
from deploy.bench.measures.overload import overload
from deploy.bench.measures.pacing import pacing
from deploy.bench.measures.profile import profile
from deploy.bench.measures.reconcile import reconcile
from deploy.bench.measures.scaling import scaling
from deploy.bench.measures.webhooks import webhooks
from deploy.bench.result import Measured
from deploy.bench.rivals import Naive
from deploy.bench.scene import Scene
from deploy.bench.stage import Stage

#: Seconds until each callback receiver answers: nine fast ones, of which the first is everybody's, then the others.
_RECEIVERS: Final = (*[0.0] * 9, 4.0, HANGS)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement by its name on the command line, and whether ``--quick`` includes it."""

    name: str
    measure: Callable[[Scene], Measured]
    is_quick: bool = False


MEASUREMENTS: Final = (
    Measurement("burst", burst, is_quick=True),
    Measurement("latency", latency, is_quick=True),
    Measurement("idle", idle, is_quick=True),
    Measurement("accept", accept, is_quick=True),
    Measurement("drain", drain, is_quick=True),
    Measurement("profile", profile),
    Measurement("load", load),
    Measurement("scaling", scaling),
    Measurement("webhooks", webhooks),
    Measurement("reconcile", reconcile),
    Measurement("callbacks", callbacks),
    Measurement("pacing", pacing),
    Measurement("fairness", fairness),
    Measurement("admission", admission),
    Measurement("overload", overload),
    Measurement("growth", growth),
    Measurement("audit", audit),
    Measurement("dashboard", dashboard),
    Measurement("memory", memory),
)


def chosen(names: Sequence[str], *, quick: bool) -> list[Measurement]:
    """Those named, else all of this kind of run."""
    if names:
        return [one for one in MEASUREMENTS if one.name in names]
    return [one for one in MEASUREMENTS if one.is_quick or not quick]


@contextmanager
def scene(*, quick: bool, tell: Callable[[str], None], scale: float = 1.0) -> Iterator[Scene]:
    """Everything that measurements need, running, in a folder that vanishes with it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringpost-bench-")))
        tell("starting the engines")
        generator = stack.enter_context(Generator(_RECEIVERS))
        stage = stack.enter_context(Stage(folder, generator))
        stack.callback(lambda: tell("ending every process"))
        tell("starting Ringpost and its rival")
        stage.start_web()
        stage.start_workers()
        naive = stack.enter_context(Naive(stage, generator).running())
        yield Scene(stage, generator, naive, quick, tell, scale)


def run(wanted: Sequence[Measurement], on: Scene, done: Callable[[Measured], None]) -> list[Measured]:
    """Measure one after the other; *done* hears of each. One that fails says so in its place, and the rest go on."""
    measured = []
    for one in wanted:
        began = time.monotonic()
        try:
            result = one.measure(on)
        except Exception as error:  # noqa: BLE001  twenty minutes of figures are worth more than one failure
            note = f"This measurement failed: {type(error).__name__}: {error}".partition("\n")[0]
            result = Measured(one.name, one.name.capitalize(), notes=[note])
        result.took_s = time.monotonic() - began
        measured.append(result)
        done(result)
    return measured
