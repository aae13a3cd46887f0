"""Does a mountain of one kind of message, or of one provider, delay the others?"""

from __future__ import annotations

from typing import Final

from deploy.bench import bulk
from deploy.bench.figures import ratio
from deploy.bench.generator import MESSAGE
from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from deploy.bench.stage import basic
from shared import jobs
from shared.ids import new_id
from shared.lifecycle import Lane

_PER_SECOND: Final = 200.0  # dials that the settings allow
_OTPS: Final = 20.0  # a second
_NOTIFICATION: Final = MESSAGE.replace('"repetition"', '"type":"notification","repetition"')
_TEN: Final = 10
_TIMES: Final = 5
_PATIENCE_S: Final = 20.0


def fairness(scene: Scene) -> Measured:
    """Each kind alone first, then beside the mountain; the pace is that of the settings."""
    measured = Measured("fairness", "Fairness between types and providers")
    scene.stage.restart(dials_per_second=_PER_SECOND, max_calls_in_flight=50_000)
    scene.stage.world(call_s=0.2)
    other = scene.stage.new_provider(new_id("other"), None)
    headers = basic((str(other["key_id"]), str(other["secret"])))
    scene.tell("OTPs alone")
    otp_alone = _otps(scene)
    scene.tell("ten notifications, nobody else")
    ten_alone = _tens(scene, headers)
    few, many = scene.count(1000, 50_000), scene.count(2000, 100_000)
    _heap(scene, few, 0)
    scene.tell(f"ten notifications beside {few:,}")
    ten_beside = _tens(scene, headers)
    _heap(scene, many - few, few)
    scene.tell(f"OTPs beside {many:,} notifications")
    otp_beside = _otps(scene)
    for key, what, alone, beside in (
        ("otp", f"OTP, accept to dial, p99, beside {many:,} notifications", otp_alone, otp_beside),
        ("provider", f"10 notifications, accept to dial, p99, beside {few:,} of another", ten_alone, ten_beside),
    ):
        measured.add(key, what, ratio(beside, alone), "x")
        measured.add(f"{key}_alone", "alone", alone, "ms")
        measured.add(f"{key}_beside", "beside them", beside, "ms")
    return measured


def _heap(scene: Scene, count: int, above: int) -> None:
    """Let so many more notifications of our first provider wait."""
    scene.tell(f"{count:,} notifications wait")
    first = bulk.BULK_PHONES + above
    provider = str(scene.stage.provider["provider_id"])
    bulk.queue(scene.stage, provider, Lane.NOTIFICATION, range(first, first + count), new_id("heap"))
    scene.stage.services.doorbell.ring(jobs.PLACE_CALLS[Lane.NOTIFICATION])


def _otps(scene: Scene) -> float:
    stage = scene.stage
    report = scene.through(
        stage.submit_url, scene.count(100, 250), stage.headers, until="dialled", rate=_OTPS, connections=32
    )
    return report.latency("accept_to_dial").p99


def _tens(scene: Scene, headers: dict[str, str]) -> float:
    """The slowest dial of ten messages at once, the median of several times: their p99, less the luck of one."""
    slowest = sorted(_ten(scene, headers).latency("due_to_dial").max for _ in range(_TIMES))
    return slowest[len(slowest) // 2]


def _ten(scene: Scene, headers: dict[str, str]) -> Report:
    url = scene.stage.submit_url
    name, _ = scene.generator.submit(url, _TEN, headers=headers, body=_NOTIFICATION, connections=_TEN)
    report = scene.generator.watch(name, "dialled", _PATIENCE_S)
    scene.generator.forget(name)
    return report
