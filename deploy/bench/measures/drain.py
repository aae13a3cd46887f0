"""A backlog: how fast messages that wait are dialled once the workers may."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import requests

from deploy.bench import bulk
from deploy.bench.figures import median, per_second, ratio
from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured, Plot, Points
from deploy.bench.scene import Scene
from deploy.bench.stage import SUBACCOUNT
from shared import jobs
from shared.db.queries import stops
from shared.lifecycle import Lane
from shared.stops import Scope, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUNDS: Final = 5
_QUICK_ROUNDS: Final = 3
_SLOW_S: Final = 0.2
_CONNECTIONS: Final = 32
_SETTLE_S: Final = 0.5


def drain(scene: Scene) -> Measured:
    """
    At 0 ms against naive, and at 200 ms against what so many senders can carry.

    Against naive, each round is compared with itself, and the median of the rounds is told: both sides of a round see
    the machine at the same speed.
    """
    measured = Measured("drain", "Draining a backlog")
    scene.stage.start_web()
    scene.stage.start_workers()
    count, few = scene.count(2000, 10_000), scene.count(250, 1000)
    rounds = _QUICK_ROUNDS if scene.quick else _ROUNDS
    done = scene.alternated(rounds, {"ours": lambda: drained(scene, count, 0.0), "naive": lambda: _naive(scene, few)})
    dialled = {who: [report.from_first["dialled"] for report in reports] for who, reports in done.items()}
    rates = {who: median(values) for who, values in dialled.items()}
    times = [ratio(ours, naive) for ours, naive in zip(dialled["ours"], dialled["naive"], strict=True)]
    measured.add("times", "calls a second at 0 ms, against naive", median(times), "x")
    known = [value for value in times if value is not None]
    measured.add("times_least", "the same in the round that it was least", min(known, default=None), "x")
    measured.add("times_most", "and most", max(known, default=None), "x")
    measured.add("ours", "Ringpost at 0 ms", rates["ours"], "/s")
    measured.add("naive", "naive at 0 ms", rates["naive"], "/s")
    scene.tell("8x8 answers in 200 ms")
    slow = drained(scene, scene.count(1000, 2500), _SLOW_S)
    most = scene.stage.settings.dial_senders / _SLOW_S
    measured.add("of_senders", "at 200 ms, of senders / latency", ratio(slow.from_first["dialled"], most))
    measured.add("slow", "Ringpost at 200 ms", slow.from_first["dialled"], "/s")
    measured.add("senders", "senders / latency", most, "/s")
    _adapter(scene, measured, rates["ours"])
    measured.add("doubled", "dialled twice", sum(r.doubled_dials for r in [*done["ours"], slow]))
    measured.add("lost", "never dialled", sum(_left(r) for r in [*done["ours"], slow]))
    curves = {
        "Ringpost, 8x8 at 0 ms": _remaining(done["ours"][-1]),
        "Ringpost, 8x8 at 200 ms": _remaining(slow),
        "naive, 8x8 at 0 ms": _remaining(done["naive"][-1]),
    }
    measured.plots = [Plot("drain", "Draining a backlog", "seconds", "share that still waits, %", curves)]
    scene.stage.clear()
    return measured


def drained(scene: Scene, count: int, latency_s: float) -> Report:
    """Queue *count* messages while their lane is paused, let them go, and watch them being dialled."""
    stage = scene.stage
    stage.clear()
    scene.generator.become(latency_s=latency_s, subaccount=SUBACCOUNT)  # no reports: only the dialling counts
    name, first_phone = scene.generator.expect(count)
    with held(scene, Lane.OTP):
        phones = range(first_phone, first_phone + count)
        bulk.queue(stage, str(stage.provider["provider_id"]), Lane.OTP, phones, name)
    report = scene.generator.watch(name, "dialled")
    scene.generator.forget(name)
    return report


@contextmanager
def held(scene: Scene, lane: Lane) -> Iterator[None]:
    """The lane paused, as an operator would; let go and rung at the end."""
    stage = scene.stage
    with stage.database.transaction() as connection:
        stops.stop(connection, Stop(Scope.LANE, lane), reason="measured", by="bench")
    yield
    time.sleep(_SETTLE_S)  # claims under way end
    with stage.database.transaction() as connection:
        stops.go(connection, Scope.LANE, lane)
    stage.services.doorbell.ring(jobs.PLACE_CALLS[lane])


def _naive(scene: Scene, count: int) -> Report:
    naive = scene.naive
    scene.generator.become(subaccount=SUBACCOUNT)
    with naive.workers_held():
        name, _ = scene.generator.submit(naive.submit_url, count, headers=scene.stage.headers, connections=_CONNECTIONS)
    report = scene.generator.watch(name, "dialled")
    scene.generator.forget(name)
    return report


def _adapter(scene: Scene, measured: Measured, ours: float | None) -> None:
    """One thread that does nothing but send callflows over one connection: what the sending alone takes."""
    scene.tell("one thread of bare sends")
    scene.generator.become()
    url = f"{scene.generator.voice_url}/api/v1/subaccounts/{SUBACCOUNT}/callflows"
    template = requests.Request("POST", url, data=b'{"destination": "+6500"}').prepare()
    adapter, moments = requests.adapters.HTTPAdapter(), [time.monotonic()]
    for _ in range(scene.count(1000, 4000)):
        adapter.send(template, timeout=10).close()
        moments.append(time.monotonic())
    adapter.close()
    rate = per_second(moments)
    cores = os.cpu_count() or 1
    measured.add("adapter", "one thread of HTTPAdapter.send", rate, "/s")
    measured.add("of_adapter", "calls a second and core, of one thread of bare sends", ratio(ours, (rate or 0) * cores))


def _left(report: Report) -> int:
    return report.count - report.reached["dialled"]


def _remaining(report: Report) -> Points:
    total = report.count
    return [(second, 100 * (total - dialled) / total) for second, dialled in report.curves["dialled"]]
