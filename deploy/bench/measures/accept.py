"""How many messages the ingress takes, each committed before its 200, against what the machine could do at all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import psycopg2
import psycopg2.extras
import requests

from deploy.bench import bulk
from deploy.bench.figures import median, per_second, ratio
from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured
from deploy.bench.rivals import floor, one_insert_a_request, wsgi_floor
from deploy.bench.scene import Scene
from deploy.engines import find_postgres
from deploy.engines.postgres import PORT, USER

_ROUNDS: Final = 3
_CONNECTIONS: Final = 64
_BATCH: Final = 1000
_BATCHES: Final = 6
_CLIENTS: Final = 8


def accept(scene: Scene) -> Measured:
    """Two ingress processes, the workers stopped; the rivals have two processes as well."""
    measured = Measured("accept", "Accepting messages, 64 connections, two ingress processes")
    stage = scene.stage
    stage.start_web()
    stage.stop_workers()
    stage.world()
    count, few = scene.count(3000, 8000), scene.count(400, 1000)
    with ExitStack() as stack:
        bottom = stack.enter_context(floor(stage))
        single = stack.enter_context(one_insert_a_request(stage, scene.naive))
        stack.enter_context(scene.naive.workers_held())

        def sender(url: str, headers: dict[str, str], count: int, connections: int) -> Callable[[], Report]:
            return lambda: scene.through(url, count, headers, until="accepted", connections=connections)

        done = scene.alternated(
            _ROUNDS,
            {
                "ours": sender(stage.submit_url, stage.headers, count, _CONNECTIONS),
                "floor": sender(bottom.submit_url, {}, count, _CONNECTIONS),
                "single": sender(single.submit_url, {}, count, _CONNECTIONS),
                "naive": sender(scene.naive.submit_url, stage.headers, few, _CONNECTIONS),
            },
        )
        lone = {
            "ours": sender(stage.submit_url, stage.headers, few // 4, 1),
            "single": sender(single.submit_url, {}, few // 4, 1),
        }
        alone = scene.alternated(1 if scene.quick else _ROUNDS, lone)
        scene.naive.clear()
        limits = [commit_limit(scene) for _ in range(1 if scene.quick else _ROUNDS)]
    _write(measured, done, median(limits))
    _write_alone(measured, alone)
    if not scene.quick:
        _one_process(scene, measured, count)
    _batches(scene, measured)
    stage.clear()
    return measured


_NAMES: Final = {
    "ours": "Ringpost",
    "floor": "nothing stored, on the same server",
    "wsgi": "nothing stored, plain Flask on WSGI",
    "single": "one insert a request",
    "naive": "naive",
}


def _write(measured: Measured, done: dict[str, list[Report]], limit: float | None) -> None:
    rates = {who: median(report.rates["accepted"] for report in reports) for who, reports in done.items()}
    slowest = {who: median(report.latency("accept").p99 for report in reports) for who, reports in done.items()}
    measured.add("of_limit", "of PostgreSQL's commit limit", ratio(rates["ours"], limit))
    measured.add("of_floor", "of what stores nothing", ratio(rates["ours"], rates["floor"]))
    measured.add("times", "against naive", ratio(rates["ours"], rates["naive"]), "x")
    measured.add("p99_of_single", "p99 against one insert a request", ratio(slowest["ours"], slowest["single"]))
    measured.add("limit", "PostgreSQL's single-row commits", limit, "/s")
    for who in done:
        measured.add(who, _NAMES[who], rates[who], "/s")
        measured.add(f"{who}_p99", f"{_NAMES[who]}, p99", slowest[who], "ms")


def _write_alone(measured: Measured, alone: dict[str, list[Report]]) -> None:
    lone = {who: median(_p50(reports)) for who, reports in alone.items()}
    measured.add("alone_share", "one connection, p50 against one insert a request", ratio(lone["ours"], lone["single"]))
    for who, value in lone.items():
        measured.add(f"alone_{who}", f"one connection, {_NAMES[who]}, p50", value, "ms")


def _one_process(scene: Scene, measured: Measured, count: int) -> None:
    """One ingress process against what stores nothing: on the same server, and on WSGI as a side figure."""
    scene.stage.restart(web_concurrency=1)
    scene.stage.stop_workers()
    with floor(scene.stage, workers=1) as bottom, wsgi_floor(scene.stage, workers=1) as wsgi:
        ways = {
            "ours": (scene.stage.submit_url, scene.stage.headers),
            "floor": (bottom.submit_url, {}),
            "wsgi": (wsgi.submit_url, {}),
        }

        def sender(who: str) -> Callable[[], Report]:
            url, headers = ways[who]
            return lambda: scene.through(url, count // 2, headers, until="accepted", connections=_CONNECTIONS)

        done = scene.alternated(_ROUNDS, {who: sender(who) for who in ways})
    rates = {who: median(report.rates["accepted"] for report in reports) for who, reports in done.items()}
    measured.add("one_of_floor", "one process, of the floor with one", ratio(rates["ours"], rates["floor"]))
    measured.add("one", "Ringpost with one ingress process", rates["ours"], "/s")
    measured.add("one_floor", f"{_NAMES['floor']}, with one process", rates["floor"], "/s")
    measured.add("one_wsgi", f"{_NAMES['wsgi']}, with one process", rates["wsgi"], "/s")
    scene.stage.restart()
    scene.stage.stop_workers()


def _p50(reports: list[Report]) -> list[float]:
    return [report.latency("accept").p50 for report in reports]


def commit_limit(scene: Scene) -> float | None:
    """Single-row inserts a second into the same table, each committed, from eight clients."""
    scene.tell("PostgreSQL's commit limit")
    columns, values = bulk.COLUMNS, bulk.WAITING.format(key="gen_random_uuid()")
    values = values.replace(":provider", "'prov_limit'").replace(":lane", "'otp'")
    statement = f"INSERT INTO messages ({columns}) VALUES ({values})"
    seconds = max(1, round(scene.seconds(2, 3)))
    found = find_postgres().path / "pgbench"
    program = str(found) if found.exists() else shutil.which("pgbench")
    postgres = scene.stage.engines.postgres
    if program is None or postgres is None:
        return _one_client(scene.stage.engines.database_url, statement, seconds)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement + ";\n")
        script.flush()
        options = f"-n -c {_CLIENTS} -j 2 -T {seconds} -h {postgres.where} -p {PORT} -U {USER} -f {script.name}".split()
        done = subprocess.run([program, *options, "ringpost"], capture_output=True, text=True, check=False)
    tps = re.search(r"tps = ([\d.]+)", done.stdout)
    return float(tps[1]) if tps else _one_client(scene.stage.engines.database_url, statement, seconds)


def _one_client(url: str, statement: str, seconds: float) -> float | None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    moments = [time.monotonic()]
    with connection.cursor() as cursor:
        while moments[-1] - moments[0] < seconds:
            cursor.execute(statement)
            moments.append(time.monotonic())
    connection.close()
    return per_second(moments)


def _batches(scene: Scene, measured: Measured) -> None:
    """``make-calls`` with a thousand messages, against a bare insert of a thousand rows."""
    scene.tell("make-calls with 1,000 messages")
    batches = 2 if scene.scale < 1 else _BATCHES
    _, first_phone = scene.generator.expect(2 * batches * _BATCH)
    calls, rows = [], []
    for number in range(batches):
        phones = range(first_phone + number * _BATCH, first_phone + (number + 1) * _BATCH)
        calls.append(_timed_request(scene, number, phones))
        rows.append(_timed_insert(scene, number, phones))
    ours, bare = (_BATCH / (median(times[1:]) or 1.0) for times in (calls, rows))
    measured.add("batch_share", "make-calls of 1,000, of a bare multi-row insert", ratio(ours, bare))
    measured.add("batch", "make-calls of 1,000", ours, "messages/s")
    measured.add("batch_bare", "bare multi-row insert of 1,000", bare, "rows/s")


def _timed_request(scene: Scene, number: int, phones: range) -> float:
    bodies = [
        {"messageId": f"batch{number}-{phone}", "customerPhone": f"+{phone}", "message": "Your code is 4, 7, 1, 1."}
        for phone in phones
    ]
    body = json.dumps({"calls": bodies}).encode()
    headers = scene.stage.headers | {"Content-Type": "application/json"}
    began = time.monotonic()
    requests.post(f"{scene.stage.url}/api/make-calls", body, headers=headers, timeout=30).raise_for_status()
    return time.monotonic() - began


def _timed_insert(scene: Scene, number: int, phones: range) -> float:
    provider = str(scene.stage.provider["provider_id"])
    rows = [
        (m.id, m.provider_id, m.message_id, m.fingerprint, m.lane, "queued", m.content, m.destination_key,
         m.destination_masked, m.country, m.source, m.voice, m.speed, m.plays, m.seconds_per_play, m.interruptible,
         m.max_attempts, m.spare_attempts, m.redial_unknown, "{}", "[]")
        for m in bulk.new_messages(scene.stage, provider, "otp", phones, f"bare{number}")
    ]  # fmt: skip
    places = "(" + ", ".join(["%s"] * len(rows[0])) + ", now() + interval '2 minutes', now())"
    statement = f"INSERT INTO messages ({bulk.COLUMNS}) VALUES %s ON CONFLICT DO NOTHING"
    connection = psycopg2.connect(scene.stage.engines.database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        began = time.monotonic()
        psycopg2.extras.execute_values(cursor, statement, rows, template=places, page_size=_BATCH)
        took_s = time.monotonic() - began
    connection.close()
    return took_s
