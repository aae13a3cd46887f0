"""A burst, end to end: 32 connections, 8x8 answers in 50 ms and reports 200 ms later, the callback is received."""

from __future__ import annotations

from typing import Final

from deploy.bench.figures import median, ratio
from deploy.bench.load.ledger import Report
from deploy.bench.meter import Reading
from deploy.bench.result import Measured
from deploy.bench.scene import Scene

_ROUNDS: Final = 3
_CONNECTIONS: Final = 32
_LATENCY_S: Final = 0.05
_CALL_S: Final = 0.2


def burst(scene: Scene) -> Measured:
    """Ringpost and the naive design in turn, then the generator against an echo of the chain."""
    measured = Measured("burst", "Burst end to end, 32 connections")
    count, few = scene.count(2000, 4000), scene.count(250, 600)
    scene.stage.start_web()
    scene.stage.start_workers()
    readings: list[Reading] = []
    naive_s: list[float] = []

    def ours() -> Report:
        scene.stage.world(latency_s=_LATENCY_S, call_s=_CALL_S)
        before = scene.stage.meter.read()
        report = _sent(scene, scene.stage.submit_url, count)
        readings.append(scene.stage.meter.read().since(before))
        return report

    def naive() -> Report:
        scene.naive.world(latency_s=_LATENCY_S, call_s=_CALL_S)
        before = sum(scene.naive.spent_s().values())
        report = _sent(scene, scene.naive.submit_url, few)
        naive_s.append(sum(scene.naive.spent_s().values()) - before)
        return report

    scene.tell("warming up")
    scene.stage.world(latency_s=_LATENCY_S, call_s=_CALL_S)
    _sent(scene, scene.stage.submit_url, few)
    done = scene.alternated(_ROUNDS, {"Ringpost": ours, "naive": naive})
    rates = {name: median(report.rates["called"] for report in reports) for name, reports in done.items()}
    measured.add("times", "messages a second, against naive", ratio(rates["Ringpost"], rates["naive"]), "x")
    measured.add("ours", "Ringpost", rates["Ringpost"], "/s")
    measured.add("naive", "naive", rates["naive"], "/s")
    _steps(measured, done)
    own_ms = _costs(measured, readings, count)
    naive_ms = measured.add("naive_ms", "of naive's processes", median(1000 * spent / few for spent in naive_s), "ms")
    measured.add("of_naive_ms", "processor time of our processes against naive's", ratio(own_ms, naive_ms), "x")
    _conservation(measured, done["Ringpost"])
    _ceiling(scene, measured, rates["Ringpost"])
    return measured


def _sent(scene: Scene, url: str, count: int) -> Report:
    return scene.through(url, count, scene.stage.headers, until="called", connections=_CONNECTIONS)


def _steps(measured: Measured, done: dict[str, list[Report]]) -> None:
    for name, reports in done.items():
        key = "ours" if name == "Ringpost" else name
        for step in ("accepted", "dialled"):
            measured.add(f"{key}_{step}", f"{name}, {step}", median(r.rates[step] for r in reports), "/s")


def _costs(measured: Measured, readings: list[Reading], count: int) -> float | None:
    """Note what a message costs; returns the milliseconds of our own processes."""

    def each(values: list[float]) -> float | None:
        middle = median(values)
        return None if middle is None else middle / count

    own_ms = each([1000 * r.own_total_s for r in readings])
    measured.add("own_ms", "processor time a message, our processes", own_ms, "ms")
    measured.add("all_ms", "with PostgreSQL and Redis", each([1000 * r.total_s for r in readings]), "ms")
    for role in readings[0].own_s:
        measured.add(f"{role}_ms", f"of it {role}", each([1000 * r.own_s.get(role, 0.0) for r in readings]), "ms")
    measured.add("postgres_ms", "PostgreSQL", each([1000 * r.postgres_s for r in readings]), "ms")
    measured.add("valkey_ms", "Redis", each([1000 * r.valkey_s for r in readings]), "ms")
    counted = [r.statements for r in readings if r.statements is not None]
    if not counted:
        measured.notes.append("This PostgreSQL has no pg_stat_statements: statements are not counted.")
    measured.add("statements", "SQL statements a message (pg_stat_statements)", each([*map(float, counted)]))
    measured.add(
        "transactions", "transactions a message (pg_stat_database)", each([float(r.transactions) for r in readings])
    )
    measured.add("rings", "rings a message", each([float(r.rings) for r in readings]))
    measured.add("stored_kib", "kept in PostgreSQL a message", each([r.stored_bytes / 1024 for r in readings]), "KiB")
    measured.add("wal_kib", "write-ahead log a message", each([r.wal_bytes / 1024 for r in readings]), "KiB")
    return own_ms


def _conservation(measured: Measured, reports: list[Report]) -> None:
    accepted = sum(report.reached["accepted"] for report in reports)
    measured.add("lost", "accepted and never called back", accepted - sum(r.reached["called"] for r in reports))
    measured.add("doubled", "dialled twice", sum(r.doubled_dials for r in reports))


def _ceiling(scene: Scene, measured: Measured, ours: float | None) -> None:
    scene.tell("the generator's own ceiling")
    with scene.echo() as url:
        scene.generator.become(vss_url=f"{url}/vss", latency_s=_LATENCY_S, call_s=_CALL_S)
        report = _sent(scene, f"{url}/api/make-call", scene.count(4000, 8000))
    ceiling = report.rates["called"]
    measured.add("ceiling", "the generator's ceiling, against an echo in memory", ceiling, "/s")
    measured.add("generator_ms", "processor time a message, generator", report.generator_ms, "ms")
    share = ratio(ours, ceiling)
    if share is not None and share > 0.5:
        measured.notes.append("Ringpost came near the generator's ceiling: its own rate may be higher.")
