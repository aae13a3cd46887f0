"""Where the processor time of a message goes: stacks sampled during a burst, and PostgreSQL's own count."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from deploy.bench.meter import Statements
from deploy.bench.result import Bars, Measured
from deploy.bench.sampler import Sampler
from deploy.bench.scene import Scene
from deploy.bench.stacks import PARTS

_ROLES: Final = ("web", "calls-otp", "events", "callbacks")
_CONNECTIONS: Final = 32
_LATENCY_S: Final = 0.05
_CALL_S: Final = 0.2
_SAMPLED_S: Final = 5.0
_STATEMENTS: Final = 8
#: A process that has used less than this since it was started, in seconds, only looks after the others.
_AT_WORK_S: Final = 0.3


def profile(scene: Scene) -> Measured:
    """One burst as ``burst`` sends it, watched from outside."""
    measured = Measured("profile", "Where the processor time of a message goes")
    scene.stage.start_web()
    scene.stage.start_workers()
    scene.stage.world(latency_s=_LATENCY_S, call_s=_CALL_S)
    count = scene.count(2000, 4000)
    scene.tell("warming up")
    _sent(scene, max(4, count // 8))
    scene.tell("stacks of every role, sampled during a burst")
    with tempfile.TemporaryDirectory(prefix="ringpost-stacks-") as folder:
        sampler = Sampler(_at_work(scene), Path(folder))
        before, asked = scene.stage.meter.read(), scene.stage.meter.by_statement()
        with sampler.during(scene.seconds(_SAMPLED_S, _SAMPLED_S)):
            _sent(scene, count)
            used = scene.stage.meter.read().since(before)
            statements = asked.until(scene.stage.meter.by_statement())
    _add_parts(measured, {role: 1000 * used.own_s.get(role, 0.0) / count for role in _ROLES}, sampler)
    _add_statements(measured, statements, count)
    return measured


def _sent(scene: Scene, count: int) -> None:
    url, headers = scene.stage.submit_url, scene.stage.headers
    scene.through(url, count, headers, until="called", connections=_CONNECTIONS)


def _at_work(scene: Scene) -> dict[str, list[int]]:
    """The processes of each role that do its work, not those that started them."""
    found: dict[str, list[int]] = {}
    for role, family in scene.stage.families().items():
        if role in _ROLES:
            spent = {process.pid: _own_s(process) for process in family}
            most = max(spent.values(), default=0.0)
            found[role] = [pid for pid, own_s in spent.items() if own_s >= min(_AT_WORK_S, most)]
    return found


def _own_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _add_parts(measured: Measured, each_ms: Mapping[str, float], sampler: Sampler) -> None:
    bars = {part: [0.0] * len(_ROLES) for part in PARTS}
    for place, role in enumerate(_ROLES):
        found: Counter[str] = sampler.found.get(role, Counter())
        measured.add(role, f"{role}, a message", each_ms[role], "ms")
        for part, seen in found.most_common():
            bars[part][place] = each_ms[role] * seen / found.total()
            measured.add(f"{role} {part}", f"{role}: {part}", bars[part][place], "ms")
    for reason in sampler.failures:
        measured.notes.append(f"py-spy could not sample every role, so its parts are not known: {reason}.")
    if any(found.total() for found in sampler.found.values()):
        measured.notes.append(
            "Milliseconds are the role's processor time by /proc, shared out as the stacks of whoever held the"
            " interpreter were met: what a role does without it (system calls, encryption, the HTTP server's own"
            " threads) is counted with the parts in their proportion."
        )
        measured.bars.append(Bars("profile", measured.title, "ms a message", list(_ROLES), bars))


def _add_statements(measured: Measured, statements: Statements, count: int) -> None:
    if not statements.spent:
        measured.notes.append("This PostgreSQL has no pg_stat_statements: statements are not counted.")
    for place, (what, calls, spent_ms) in enumerate(statements.top(_STATEMENTS), 1):
        measured.add(f"sql{place}_calls", f"SQL, {what}: calls a message", calls / count)
        measured.add(f"sql{place}_ms", f"SQL, {what}: time in PostgreSQL a message", spent_ms / count, "ms")
