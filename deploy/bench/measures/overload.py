"""More than the ingress can take: does it refuse quickly and politely, keep its memory, and recover at once?"""

from __future__ import annotations

import time
from typing import Final

from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured
from deploy.bench.scene import Scene

_PER_SECOND: Final = 6000.0
_CONNECTIONS: Final = 1000
_CALM: Final = 20  # messages of a lone client
_RECOVERED_MS: Final = 50.0
_TIMEOUT_S: Final = 10.0
_LIMIT_S: Final = 30.0
_LOOK_S: Final = 0.5
_SOUND: Final = frozenset({"200", "429", "503"})


def overload(scene: Scene) -> Measured:
    """Open loop, several times the capacity, then nothing but a lone client."""
    measured = Measured("overload", "Overload of the ingress")
    stage = scene.stage
    stage.restart()
    stage.world(call_s=0.2)
    calm_ms = max(1.0, _lone(scene).latency("accept").p50)
    seconds = scene.seconds(4, 6)
    scene.tell(f"{_PER_SECOND:.0f} messages a second for {seconds:.0f} s")
    name, future = scene.generator.begin(
        stage.submit_url,
        round(_PER_SECOND * seconds),
        headers=stage.headers,
        rate=_PER_SECOND,
        connections=_CONNECTIONS,
        timeout_s=_TIMEOUT_S,
    )
    highest_mib = 0.0
    while not future.done():
        highest_mib = max(highest_mib, stage.memory_mib().get("web", 0.0))
        time.sleep(_LOOK_S)
    recovery_s = _recovery_s(scene)
    _write(measured, Report.read(future.result()), highest_mib)
    measured.add("recovery_s", "until a lone client is served, each time within 50 ms", recovery_s, "s")
    measured.add("calm_p50", "a lone client before, p50", calm_ms, "ms")
    scene.generator.forget(name)
    return measured


def _write(measured: Measured, report: Report, highest_mib: float) -> None:
    refused = sum(count for status, count in report.statuses.items() if status in ("429", "503"))
    odd = sum(count for status, count in report.statuses.items() if status not in _SOUND)
    refusal_p99 = report.refused.p99 if report.refused is not None else None
    measured.add("refusal_p99", "a refusal takes, p99", refusal_p99, "ms")
    measured.add("unexplained", "answers that are no 200, nor 429 or 503 with Retry-After",
                 odd + report.refused_without_retry_after)  # fmt: skip
    measured.add("memory", "largest ingress process", highest_mib, "MiB")
    measured.add("offered", "offered", report.rates["due"], "/s")
    measured.add("accepted", "accepted", report.rates["accepted"], "/s")
    measured.add("refused", "refused", refused, "messages")
    measured.add("accept_p99", "intended send to 200, p99", report.latency("accept").p99, "ms")
    if not refused:
        measured.notes.append("Nothing was refused: what came too fast had to wait.")


def _lone(scene: Scene) -> Report:
    stage = scene.stage
    return scene.through(stage.submit_url, _CALM, stage.headers, until="accepted", connections=1)


def _recovery_s(scene: Scene) -> float:
    scene.tell("recovering")
    began = time.monotonic()
    while (took_s := time.monotonic() - began) < _LIMIT_S:
        report = _lone(scene)
        if report.reached["accepted"] == _CALM and report.latency("accept").max <= _RECOVERED_MS:
            return took_s
    return _LIMIT_S
