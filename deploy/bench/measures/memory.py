"""Ten minutes at a steady rate: does memory stay where it was?"""

from __future__ import annotations

import time
from typing import Final

from deploy.bench.figures import median
from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured, Plot, Points
from deploy.bench.scene import Scene

_PER_SECOND: Final = 50.0
_LOOKS: Final = 60
#: The first share of the run warms up, the second is the measure for the last.
_EARLY: Final = slice(_LOOKS // 10, _LOOKS // 4)
_LATE: Final = slice(-_LOOKS // 8, None)


def memory(scene: Scene) -> Measured:
    """Resident memory of each role's largest process, looked at all along."""
    measured = Measured("memory", "Memory over a steady run at 50 messages a second")
    stage = scene.stage
    stage.restart()
    stage.world(call_s=0.2)
    run_s = scene.seconds(30, 600)
    name, future = scene.generator.begin(
        stage.submit_url, round(_PER_SECOND * run_s), headers=stage.headers, rate=_PER_SECOND, connections=64
    )
    began = time.monotonic()
    looks: list[tuple[float, dict[str, float]]] = []
    while not future.done():
        looks.append((time.monotonic() - began, stage.memory_mib()))
        scene.tell(f"{looks[-1][0]:.0f} of {run_s:.0f} s at 50 messages a second")
        time.sleep(run_s / _LOOKS)
    report = scene.generator.watch(name, "called")
    scene.generator.forget(name)
    _write(measured, looks, report)
    return measured


def _write(measured: Measured, looks: list[tuple[float, dict[str, float]]], report: Report) -> None:
    roles = looks[-1][1].keys()
    highest = {role: max(sizes.get(role, 0.0) for _, sizes in looks) for role in roles}
    measured.add(
        "worker", "largest worker process", max(size for role, size in highest.items() if role != "web"), "MiB"
    )
    measured.add("web", "largest ingress process", highest["web"], "MiB")
    grown = []
    for role in roles:
        sizes = [found[role] for _, found in looks if role in found]
        early, late = median(sizes[_EARLY] or sizes[:1]), median(sizes[_LATE])
        if early and late:
            grown.append(late / early)
        measured.add(role, role, highest[role], "MiB")
    measured.add(
        "growth", "at the end, against after warming up: the role that grew most", max(grown, default=None), "x"
    )
    for share in ("p50", "p99"):
        value = getattr(report.latency("accept_to_dial"), share)
        measured.add(f"dial_{share}", f"accept to dial over the whole run, {share}", value, "ms")
    curves: dict[str, Points] = {role: [(at, sizes.get(role, 0.0)) for at, sizes in looks] for role in roles}
    measured.plots = [Plot("memory", "Largest process of each role", "seconds", "MiB", curves)]
