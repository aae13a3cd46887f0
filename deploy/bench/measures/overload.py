"""More than the ingress can take: does it refuse quickly and politely, keep its memory, and recover at once?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from deploy.bench.figures import Spread, ratio, spread
from deploy.bench.generator import MESSAGE
from deploy.bench.load.ledger import FIRST_PHONE, Report
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from deploy.fleet import PROJECT

#: Offered: above twice what is accepted, with processor time left for whoever offers it, and as much again.
_PER_SECOND: Final = 3000.0
_MORE_PER_SECOND: Final = 6000.0
_CONNECTIONS: Final = 1000
_PAUSE_S: Final = 0.08  # of a probing client between two requests
_CALM: Final = 20  # messages of a lone client
_RECOVERED_MS: Final = 50.0
_TIMEOUT_S: Final = 10.0
_LIMIT_S: Final = 30.0
_LOOK_S: Final = 0.5
_SOUND: Final = frozenset({"200", "429", "503"})
_REFUSED: Final = frozenset({429, 503})
#: Phones of the probing clients, which no load comes to.
_PHONES: Final = FIRST_PHONE + 6_800_000


@dataclass(frozen=True, slots=True)
class _Flood:
    """What the flood's client saw, and what others did that had time."""

    report: Report
    highest_mib: float
    arrived: Spread | None  # a refusal of a probing client: until it is at the client's kernel
    seen: Spread | None  # until that client has it


def overload(scene: Scene) -> Measured:
    """
    Open loop, several times the capacity, then nothing but a lone client.

    The flood's client is one process on the same processors: what it sees of a refusal is its own lateness as well. A
    few more clients of the same sender, in a process that mostly sleeps, tell the time from a request's sending until
    its refusal has come to their kernel: that is held against the goal. Both are told.
    """
    measured = Measured("overload", "Overload of the ingress")
    stage = scene.stage
    stage.restart()
    stage.world(call_s=0.2)
    calm_ms = max(1.0, _lone(scene).latency("accept").p50)
    flood = _flood(scene, _PER_SECOND, 0)
    recovery_s = _recovery_s(scene)
    _write(measured, flood)
    measured.add("recovery_s", "until a lone client is served, each time within 50 ms", recovery_s, "s")
    measured.add("calm_p50", "a lone client before, p50", calm_ms, "ms")
    _write_more(measured, _flood(scene, _MORE_PER_SECOND, 1))
    _recovery_s(scene)
    return measured


def _flood(scene: Scene, rate: float, number: int) -> _Flood:
    stage, seconds = scene.stage, scene.seconds(4, 6)
    scene.tell(f"{rate:.0f} messages a second for {seconds:.0f} s")
    name, future = scene.generator.begin(
        stage.submit_url,
        round(rate * seconds),
        headers=stage.headers,
        rate=rate,
        connections=_CONNECTIONS,
        timeout_s=_TIMEOUT_S,
    )
    with probing(
        url=stage.submit_url, headers=stage.headers, seconds=seconds, pause_s=_PAUSE_S, body=MESSAGE,
        first_phone=_PHONES + 10_000 * number,
    ) as answers:  # fmt: skip
        highest_mib = 0.0
        while not future.done():
            highest_mib = max(highest_mib, stage.memory_mib().get("web", 0.0))
            time.sleep(_LOOK_S)
    report = Report.read(future.result())
    scene.generator.forget(name)
    refused = [answer for answer in answers if answer["status"] in _REFUSED]
    arrived, seen = (spread(answer[key] for answer in refused) for key in ("arrived_ms", "seen_ms"))
    return _Flood(report, highest_mib, arrived, seen)


@contextmanager
def probing(**asked: Any) -> Iterator[list[dict[str, float]]]:
    """Have a probe ask meanwhile; its answers are in the list when this has been left."""
    answers: list[dict[str, float]] = []
    command = [sys.executable, "-m", "deploy.bench.load.probe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked))
        process.stdin.close()
        process.stdin = None
        yield answers
        told, _ = process.communicate(timeout=_LIMIT_S + asked["seconds"])
        answers += json.loads(told)


def _write(measured: Measured, flood: _Flood) -> None:
    report = flood.report
    refused = _refused(report)
    odd = sum(count for status, count in report.statuses.items() if status not in _SOUND)
    accepted, offered = report.rates["accepted"], report.rates["due"]
    measured.add("refusal_p99", "a refusal takes until it is at a client that has time, p99", _p99(flood.arrived), "ms")
    measured.add("seen_p99", "the same until that client has it, p99", _p99(flood.seen), "ms")
    measured.add("probes", "refusals that this was measured on", flood.arrived.count if flood.arrived else 0)
    measured.add("flood_p99", "the same as the flood's own client sees it, p99", _p99(report.refused), "ms")
    measured.add("lateness_p99", "that client sends late by, p99", _p99(report.lateness), "ms")
    measured.add("unexplained", "answers that are no 200, nor 429 or 503 with Retry-After",
                 odd + report.refused_without_retry_after)  # fmt: skip
    measured.add("memory", "largest ingress process", flood.highest_mib, "MiB")
    measured.add("offered", "offered", offered, "/s")
    measured.add("accepted", "accepted", accepted, "/s")
    measured.add("refused", "refused", refused, "messages")
    measured.add("accept_p99", "intended send to 200, p99", report.latency("accept").p99, "ms")
    if not refused:
        measured.notes.append("Nothing was refused: what came too fast had to wait.")
    if (times := ratio(offered, accepted)) is not None and times < 2:
        measured.notes.append("Less than twice of what was accepted was offered: this is no overload.")


def _write_more(measured: Measured, flood: _Flood) -> None:
    report = flood.report
    at = f"at {_MORE_PER_SECOND:,.0f}/s"
    measured.add("more_refusal_p99", f"{at}: a refusal until it is at a client that has time, p99",
                 _p99(flood.arrived), "ms")  # fmt: skip
    measured.add("more_flood_p99", f"{at}: as the flood's own client sees it, p99", _p99(report.refused), "ms")
    measured.add("more_lateness_p99", f"{at}: that client sends late by, p99", _p99(report.lateness), "ms")
    measured.add("more_accepted", f"{at}: accepted", report.rates["accepted"], "/s")
    measured.add("more_refused", f"{at}: refused", _refused(report), "messages")


def _refused(report: Report) -> int:
    return sum(count for status, count in report.statuses.items() if status.isdigit() and int(status) in _REFUSED)


def _p99(known: Spread | None) -> float | None:
    return None if known is None else known.p99


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
