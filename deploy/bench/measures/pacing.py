"""A trunk that carries fewer calls than anybody told us: how much of it is used, and how many calls find no line."""

from __future__ import annotations

import time
from typing import Final

from deploy.bench import bulk
from deploy.bench.figures import ratio
from deploy.bench.result import Measured, Plot, Points
from deploy.bench.scene import Scene
from shared import jobs
from shared.lifecycle import Lane

_LINES: Final = 100
_CALL_S: Final = 1.0
_PER_SECOND: Final = 1000.0  # what the settings allow: far more than the trunk carries


def pacing(scene: Scene) -> Measured:
    """A backlog against a hidden cap; measured once the pace had time to settle."""
    measured = Measured("pacing", "A hidden trunk cap")
    stage, cap = scene.stage, _LINES / _CALL_S
    settle_s, run_s = scene.seconds(8, 12), scene.seconds(8, 18)
    stage.restart(dials_per_second=_PER_SECOND, max_calls_in_flight=5000)
    count = round(cap * (settle_s + run_s) * 2)
    name, first_phone = scene.generator.expect(count)
    stage.world(lines=_LINES, call_s=_CALL_S)
    scene.tell(f"{count:,} messages wait")
    provider = str(stage.provider["provider_id"])
    bulk.queue(stage, provider, Lane.OTP, range(first_phone, first_phone + count), name)
    stage.services.doorbell.ring(jobs.PLACE_CALLS[Lane.OTP])
    curve = _carried(scene, settle_s, "settling")
    before, began = scene.generator.seen(), time.monotonic()
    curve += [(settle_s + at, rate) for at, rate in _carried(scene, run_s, "settled")]
    after, took_s = scene.generator.seen(), time.monotonic() - began
    asked = after["callflows"] - before["callflows"]
    refused = after.get("without_line", 0) - before.get("without_line", 0)
    carried = (asked - refused) / took_s
    measured.add("of_cap", "calls a second, of what the trunk carries", ratio(carried, cap))
    measured.add("refused", "share of calls that found no line", ratio(refused, asked))
    measured.add("ours", "calls that found a line", carried, "/s")
    measured.add("cap", "what the trunk carries", cap, "/s")
    measured.add("early", "calls without a line while settling", before.get("without_line", 0))
    curves = {"Ringpost": curve, "what the trunk carries": [(0.0, cap), (settle_s + run_s, cap)]}
    measured.plots = [Plot("pacing", "A hidden trunk cap", "seconds", "calls a second that found a line", curves)]
    scene.generator.forget(name)
    return measured


def _carried(scene: Scene, seconds: float, what: str) -> Points:
    """Watch for so long: how many calls a second found a line, second by second."""
    points: Points = []
    began = last_at = time.monotonic()
    last = _found_line(scene)
    while time.monotonic() < began + seconds:
        scene.tell(f"{what}: {time.monotonic() - began:.0f} of {seconds:.0f} s")
        time.sleep(1)
        now, found = time.monotonic(), _found_line(scene)
        points.append((now - began, (found - last) / (now - last_at)))
        last, last_at = found, now
    return points


def _found_line(scene: Scene) -> int:
    seen = scene.generator.seen()
    return seen.get("callflows", 0) - seen.get("without_line", 0)
