"""Twice the call workers: how much sooner a backlog is dialled while 8x8 takes 200 ms for each call."""

from __future__ import annotations

import time
from typing import Final

from deploy.bench.figures import median, ratio
from deploy.bench.load.ledger import Report
from deploy.bench.measures.drain import drained
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from shared import jobs
from shared.broker import CONSUMER_NAME
from shared.lifecycle import Lane

_ROUNDS: Final = 3
_LATENCY_S: Final = 0.2
_ROLE: Final = "calls-otp"
_START_S: Final = 30


def scaling(scene: Scene) -> Measured:
    """One process of the role against two, in turn; each round is compared with itself."""
    measured = Measured("scaling", "One call worker and two, 8x8 at 200 ms")
    scene.stage.start_web()
    count = scene.count(1000, 2000)

    def with_workers(number: int) -> Report:
        scene.stage.stop_workers()
        scene.stage.start_workers({_ROLE: number})
        _wait_for(scene, number)
        return drained(scene, count, _LATENCY_S)

    done = scene.alternated(_ROUNDS, {"one": lambda: with_workers(1), "two": lambda: with_workers(2)})
    rates = {name: [report.from_first["dialled"] for report in reports] for name, reports in done.items()}
    times = [ratio(two, one) for one, two in zip(rates["one"], rates["two"], strict=True)]
    measured.add("times", "calls a second, two workers against one", median(times), "x")
    measured.add("one", "one worker", median(rates["one"]), "/s")
    measured.add("two", "two workers", median(rates["two"]), "/s")
    reports = [report for some in done.values() for report in some]
    measured.add("doubled", "dialled twice", sum(report.doubled_dials for report in reports))
    measured.add("lost", "never dialled", sum(report.count - report.reached["dialled"] for report in reports))
    scene.stage.stop_workers()
    scene.stage.clear()
    return measured


def _wait_for(scene: Scene, number: int) -> None:
    """Until so many processes listen for calls: one that came later would be no twice as many."""
    name, client = CONSUMER_NAME.format(jobs.PLACE_CALLS[Lane.OTP].queue), scene.stage.services.broker.client
    ends = time.monotonic() + _START_S
    while [one["name"] for one in client.client_list()].count(name) < number:
        if time.monotonic() > ends:
            raise TimeoutError(f"{number} call workers did not start in {_START_S} s")
        time.sleep(0.1)
