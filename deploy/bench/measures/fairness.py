"""Does a mountain of one kind of message, or of one provider, delay the others?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from deploy.bench import bulk
from deploy.bench.figures import Spread, median, ratio, spread
from deploy.bench.generator import MESSAGE
from deploy.bench.measures.drain import held
from deploy.bench.result import Measured
from deploy.bench.rivals import execute
from deploy.bench.scene import Scene
from deploy.bench.stage import basic
from shared.db.tables import MESSAGES
from shared.ids import new_id
from shared.lifecycle import Lane

_PER_SECOND: Final = 200.0  # dials that the settings allow
_OTPS: Final = 50.0  # a second
_NOTIFICATION: Final = MESSAGE.replace('"repetition"', '"type":"notification","repetition"')
_TEN: Final = 10
_PAUSE_S: Final = 0.1  # between tens, so that alone they do not meet the pace
_PATIENCE_S: Final = 20.0
_ENDS_S: Final = 0.6  # calls that are up, their summaries and callbacks
_ROUNDS: Final = 3
_COLUMNS: Final = ", ".join(column.name for column in MESSAGES.columns)


@dataclass(slots=True)
class _Arm:
    """One side of a comparison, over all rounds, in milliseconds."""

    samples: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)  # of each ten

    def spread(self) -> Spread:
        """Of all samples; infinite without any, so that no goal is met by silence."""
        return spread(self.samples) or Spread(0, *[float("inf")] * 4)


def fairness(scene: Scene) -> Measured:
    """
    Alone and beside the mountain in turn, several rounds, at the pace of the settings; samples are pooled.

    Alone the mountain is not only held but gone: its rows lie in a table aside, and come back, vacuumed, for the other
    half of the round. Of ten messages the slowest is taken, the median of many times: their p99, less the luck of one.

    OTPs are sent beside the mountain twice: while it is dialled, and while its lane is held. The second is what a long
    queue costs, the difference what the dials beside them do, on processors that all share.
    """
    measured = Measured("fairness", "Fairness between types and providers")
    few, many = scene.count(1000, 50_000), scene.count(2000, 100_000)
    _pile(scene, many)
    scene.stage.restart(dials_per_second=_PER_SECOND, max_calls_in_flight=50_000)
    scene.stage.world(call_s=0.2)
    other = scene.stage.new_provider(new_id("other"), None)
    headers = basic((str(other["key_id"]), str(other["secret"])))
    arms = {name: _Arm() for name in ("otp_alone", "provider_alone", "provider_beside", "otp_beside", "otp_held")}
    otps, tens = scene.count(100, 520), scene.count(5, 30)
    steps: dict[str, Callable[[], None]] = {
        "OTPs alone": lambda: _otps(scene, otps, arms["otp_alone"]),
        "ten notifications, nobody else": lambda: _tens(scene, tens, headers, arms["provider_alone"]),
        f"{few:,} notifications wait": lambda: _wait(scene, 0, few),
        "ten notifications beside them": lambda: _tens(scene, tens, headers, arms["provider_beside"]),
        f"{many:,} notifications wait": lambda: _wait(scene, few, many),
        "OTPs beside them": lambda: _otps(scene, otps, arms["otp_beside"]),
        "OTPs beside them, while they are held": lambda: _beside_held(scene, otps, arms["otp_held"]),
        "the heap is taken away": lambda: _take_away(scene),
    }
    scene.alternated(1 if scene.quick else _ROUNDS, steps)
    execute(scene.stage.engines.database_url, "DROP TABLE heap_aside")
    _write(measured, arms, few=few, many=many)
    return measured


def _write(measured: Measured, arms: dict[str, _Arm], *, few: int, many: int) -> None:
    found = {name: arm.spread() for name, arm in arms.items()}
    alone, beside = found["otp_alone"], found["otp_beside"]
    what = f"OTP, accept to dial, p99, beside {many:,} notifications"
    measured.add("otp", what, ratio(beside.p99, alone.p99), "x")
    held_up = found["otp_held"]
    measured.add("otp_held_times", f"the same, while the {many:,} are held", ratio(held_up.p99, alone.p99), "x")
    for side, one in (("alone", alone), ("beside", beside), ("held", held_up)):
        measured.add(f"otp_{side}", f"OTP {side}", one.p99, "ms")
        measured.add(f"otp_{side}_p50", f"OTP {side}, p50", one.p50, "ms")
        measured.add(f"otp_{side}_count", f"OTP {side}, samples", one.count)
    slowest = {side: median(arms[f"provider_{side}"].slowest) for side in ("alone", "beside")}
    what = f"10 notifications, accept to dial, p99, beside {few:,} of another"
    measured.add("provider", what, ratio(slowest["beside"], slowest["alone"]), "x")
    for side, value in slowest.items():
        measured.add(f"provider_{side}", f"ten {side}, the slowest, median", value, "ms")
        measured.add(f"provider_{side}_p99", f"ten {side}, p99 of all", found[f"provider_{side}"].p99, "ms")
        measured.add(f"provider_{side}_count", f"ten {side}, samples", found[f"provider_{side}"].count)


def _pile(scene: Scene, count: int) -> None:
    """Make the heap, of our first provider, and put it aside before anybody dials it."""
    scene.tell(f"{count:,} notifications are written")
    stage = scene.stage
    stage.stop_workers()
    stage.clear()
    phones = range(bulk.BULK_PHONES, bulk.BULK_PHONES + count)
    bulk.queue(stage, str(stage.provider["provider_id"]), Lane.NOTIFICATION, phones, new_id("heap"))
    execute(
        stage.engines.database_url,
        "DROP TABLE IF EXISTS heap_aside",
        "CREATE UNLOGGED TABLE heap_aside AS SELECT row_number() OVER () AS place, m.* FROM messages m",
    )


def _wait(scene: Scene, above: int, upto: int) -> None:
    """Let this part of the heap wait, written long ago as far as PostgreSQL can tell, and be dialled from now on."""
    with held(scene, Lane.NOTIFICATION):
        execute(
            scene.stage.engines.database_url,
            f"INSERT INTO messages ({_COLUMNS}) SELECT {_COLUMNS} FROM heap_aside"
            f" WHERE place > {above} AND place <= {upto}",
            "VACUUM (ANALYZE) messages",
            "CHECKPOINT",
        )


def _take_away(scene: Scene) -> None:
    with _heap_held(scene):
        scene.stage.clear()


def _beside_held(scene: Scene, count: int, arm: _Arm) -> None:
    with _heap_held(scene):
        _otps(scene, count, arm)


@contextmanager
def _heap_held(scene: Scene) -> Iterator[None]:
    """No notification is dialled any more, and those that were are over."""
    with held(scene, Lane.NOTIFICATION):
        time.sleep(_ENDS_S)  # how long the simulated calls last
        yield


def _otps(scene: Scene, count: int, arm: _Arm) -> None:
    stage = scene.stage
    name, _ = scene.generator.submit(stage.submit_url, count, headers=stage.headers, rate=_OTPS, connections=32)
    scene.generator.watch(name, "dialled")
    arm.samples += scene.generator.samples(name, "accept_to_dial")
    scene.generator.forget(name)


def _tens(scene: Scene, times: int, headers: dict[str, str], arm: _Arm) -> None:
    url = scene.stage.submit_url
    for _ in range(times):
        name, _ = scene.generator.submit(url, _TEN, headers=headers, body=_NOTIFICATION, connections=_TEN)
        scene.generator.watch(name, "dialled", _PATIENCE_S)
        samples = scene.generator.samples(name, "due_to_dial")
        arm.samples += samples
        arm.slowest.append(max(samples, default=float("inf")))
        scene.generator.forget(name)
        time.sleep(_PAUSE_S)  # so that the next ten do not meet the pace
