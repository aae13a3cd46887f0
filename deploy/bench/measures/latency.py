"""How long a message takes at a steady 50 a second, at rest, and the more the load grows."""

from __future__ import annotations

import time
from typing import Final

from deploy.bench.figures import median
from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured, Plot, Points
from deploy.bench.scene import Scene

_ROUNDS: Final = 3
_STEADY: Final = 50.0  # messages a second
_IDLE: Final = 3.0
_RATES: Final = (25, 50, 100, 200, 400, 800)
_RATE_S: Final = 2.5
_CONNECTIONS: Final = 128
#: A point whose median accept latency is above this is the last of its curve.
_HOPELESS_MS: Final = 1000.0


def latency(scene: Scene) -> Measured:
    """At 50 messages a second, open loop; 8x8 answers at once and reports 200 ms later."""
    measured = Measured("latency", "Latency at 50 messages a second, random arrivals")
    _ready(scene)
    count = scene.count(200, 400)
    done = scene.alternated(
        _ROUNDS, {"ours": lambda: _steady(scene, count), "naive": lambda: _naive(scene, _STEADY, count // 2)}
    )
    for who, reports in done.items():
        for name, what in (
            ("accept", "intended send to 200"),
            ("accept_to_dial", "200 to dialled"),
            ("report_to_callback", "8x8's report to callback"),
            ("due_to_dial", "intended send to dialled"),
        ):
            spreads = [report.latency(name) for report in reports]
            for share in ("p50", "p99"):
                value = median(getattr(one, share) for one in spreads)
                measured.add(f"{who}_{name}_{share}", f"{_name(who)}, {what}, {share}", value, "ms")
    return measured


def idle(scene: Scene) -> Measured:
    """Three messages a second, and what the processes use when nothing comes at all."""
    measured = Measured("idle", "An idle system: three messages a second, and none")
    _ready(scene)
    scene.tell("three messages a second")
    report = _steady(scene, scene.count(24, 60), _IDLE)
    spread = report.latency("accept_to_dial")
    measured.add("dial_p50", "200 to dialled, p50", spread.p50, "ms")
    measured.add("dial_max", "200 to dialled, max", spread.max, "ms")
    measured.add("accept_p50", "intended send to 200, p50", report.latency("accept").p50, "ms")
    rest_s = scene.seconds(5, 10)
    scene.tell(f"nothing for {rest_s:.0f} s")
    before, began = scene.stage.spent_s(), time.monotonic()
    time.sleep(rest_s)  # the time over which idleness is measured
    after, took_s = scene.stage.spent_s(), time.monotonic() - began
    shares = {role: 100 * (after[role] - before.get(role, 0.0)) / took_s for role in after}
    workers = {role: share for role, share in shares.items() if role != "web"}
    measured.add("worker_cpu", "processor at rest, busiest worker", max(workers.values()), "%")
    for role, share in shares.items():
        measured.add(f"{role}_cpu", f"{role} at rest", share, "%")
    return measured


def load(scene: Scene) -> Measured:
    """Latencies against load, of Ringpost and of the naive design."""
    measured = Measured("load", "Latency against load")
    _ready(scene)
    rates = _RATES[1:4:2] if scene.quick else _RATES
    accept: dict[str, Points] = {"Ringpost": [], "naive": []}
    dial: dict[str, Points] = {"Ringpost": [], "naive": []}
    for who, points in accept.items():
        for rate in rates:
            scene.tell(f"{who} at {rate} a second")
            count = max(20, round(rate * scene.seconds(2, _RATE_S)))
            report = _steady(scene, count, rate) if who == "Ringpost" else _naive(scene, rate, count)
            points.append((rate, report.latency("accept").p99))
            dial[who].append((rate, report.latency("due_to_dial").p99))
            if max(report.latency("accept").p50, report.latency("due_to_dial").p50) > _HOPELESS_MS:
                break
        for at, value in dial[who]:
            measured.add(f"{who}_{at:.0f}", f"{who} at {at:.0f}/s, intended send to dialled, p99", value, "ms")
    load_axis, wait_axis = "messages a second", "p99, ms"
    measured.plots = [
        Plot("accept-latency", "From intended send to 200", load_axis, wait_axis, accept, logarithmic=True),
        Plot("dial-latency", "From intended send to dialled", load_axis, wait_axis, dial, logarithmic=True),
    ]
    return measured


def _ready(scene: Scene) -> None:
    scene.stage.start_web()
    scene.stage.start_workers()
    scene.tell("warming up")
    _steady(scene, scene.count(60, 150))


def _steady(scene: Scene, count: int, rate: float = _STEADY) -> Report:
    scene.stage.world(latency_s=0.0, call_s=0.2)
    return _sent(scene, scene.stage.submit_url, count, rate)


def _naive(scene: Scene, rate: float, count: int) -> Report:
    scene.naive.world(latency_s=0.0, call_s=0.2)
    return _sent(scene, scene.naive.submit_url, count, rate)


def _sent(scene: Scene, url: str, count: int, rate: float) -> Report:
    headers = scene.stage.headers
    return scene.through(url, count, headers, until="called", rate=rate, connections=_CONNECTIONS)


def _name(who: str) -> str:
    return "Ringpost" if who == "ours" else who
