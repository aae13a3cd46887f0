"""Summaries that wait in the inbox: how fast they become statuses, events and callbacks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import sessionmaker

from deploy.bench import bulk
from deploy.bench.figures import median, ratio
from deploy.bench.load.ledger import Ledger
from deploy.bench.load.voice import Call as VoiceCall
from deploy.bench.load.voice import summary
from deploy.bench.naive.by_row import ByRow
from deploy.bench.naive.tables import Call
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from deploy.bench.stage import SUBACCOUNT
from shared.db.queries import inbox
from shared.lifecycle import Lane, Status
from workers.reconcile_events import ReconcileEvents

_DIALLED_S: Final = 30.0
_ROUNDS: Final = 3
#: Of a round's summaries: those for the plain transaction, and those for our own step with one at a time.
_BY_ROW: Final = 0.15
_LONE: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Pass:
    """Summaries that were reconciled in one way."""

    rate: float
    spent_ms: float  # processor time a summary: of this process and of PostgreSQL


def reconcile(scene: Scene) -> Measured:
    """
    The worker's step in this process on a full inbox, against a plain transaction a summary (``naive.by_row``).

    Side figures: the same step with one summary at a time, which says what a batch is worth, and an ORM.
    """
    measured = Measured("reconcile", "Reconciling 8x8's summaries")
    size = scene.count(300, 1300)
    bodies = _placed(scene, _ROUNDS * size)
    few = bodies[: max(2, len(bodies) // 10)]
    plain, lone = max(1, round(size * _BY_ROW)), max(1, round(size * _LONE))
    step = ReconcileEvents(scene.stage.services)
    by_row = ByRow(scene.stage.engines.database_url, scene.stage.services.sealer)
    left = iter(bodies)
    done = scene.alternated(
        _ROUNDS,
        {
            "by_row": lambda: _full(scene, [*islice(left, plain)], by_row),
            "lone": lambda: _one_by_one(scene, [*islice(left, lone)], step),
            "ours": lambda: _full(scene, [*islice(left, size - plain - lone)], step),
        },
    )
    by_row.close()
    _write(measured, done)
    measured.add("by_orm", "an ORM that only looks up, updates and commits", _by_orm(scene, few), "/s")
    measured.add("open", "summaries left in the inbox", _waiting(scene))
    measured.add("undelivered", "messages that were not delivered", _undelivered(scene))
    scene.stage.clear()
    return measured


def _write(measured: Measured, done: Mapping[str, Sequence[_Pass]]) -> None:
    rates = {who: median(one.rate for one in passes) for who, passes in done.items()}
    spent = {who: median(one.spent_ms for one in passes) for who, passes in done.items()}
    times = median(ratio(ours.rate, row.rate) for ours, row in zip(done["ours"], done["by_row"], strict=True))
    measured.add("times", "summaries a second, against a plain transaction each", times, "x")
    measured.add("ours", "the whole step on a full inbox", rates["ours"], "/s")
    measured.add("by_row", "a plain transaction a summary", rates["by_row"], "/s")
    measured.add("lone", "the whole step, one summary at a time", rates["lone"], "/s")
    measured.add("of_lone", "a full inbox, against one summary at a time", ratio(rates["ours"], rates["lone"]), "x")
    measured.add("ours_ms", "processor time a summary with PostgreSQL: the step", spent["ours"], "ms")
    measured.add("by_row_ms", "the same: a plain transaction", spent["by_row"], "ms")


def _full(scene: Scene, bodies: Sequence[bytes], reconciler: Callable[[], object]) -> _Pass:
    """All of them in the inbox, then *reconciler*."""
    _keep(scene, bodies)
    return _timed(scene, len(bodies), reconciler)


def _one_by_one(scene: Scene, bodies: Sequence[bytes], step: Callable[[], object]) -> _Pass:
    """One in the inbox, then *step*, and so on; the keeping is not counted."""
    passes = [_full(scene, [body], step) for body in bodies]
    rate = len(passes) / sum(1 / one.rate for one in passes)
    return _Pass(rate, sum(one.spent_ms for one in passes) / len(passes))


def _timed(scene: Scene, count: int, reconciler: Callable[[], object]) -> _Pass:
    before = _spent_s(scene)
    began = time.monotonic()
    reconciler()
    took_s = time.monotonic() - began
    return _Pass(count / took_s, 1000 * (_spent_s(scene) - before) / count)


def _spent_s(scene: Scene) -> float:
    return time.process_time() + scene.stage.meter.postgres_s()


def _placed(scene: Scene, count: int) -> list[bytes]:
    """Have so many messages dialled; returns their summaries, which nobody has seen yet."""
    stage = scene.stage
    stage.start_web()
    stage.start_workers()
    stage.clear()
    scene.tell("placing calls")
    scene.generator.become(subaccount=SUBACCOUNT)
    name, first_phone = scene.generator.expect(count)
    phones = range(first_phone, first_phone + count)
    bulk.queue(stage, str(stage.provider["provider_id"]), Lane.OTP, phones, name)
    scene.generator.watch(name, "dialled", _DIALLED_S)
    stage.stop_workers()
    with stage.database.transaction() as connection:
        rows = connection.execute(
            text("SELECT message_id, session_id, attempt_id FROM messages WHERE session_id IS NOT NULL")
        ).all()
    ledger = Ledger(name, first_phone, 0)
    calls = [
        VoiceCall(ledger, 0, first_phone + int(row.message_id.rpartition("-")[2]), row.session_id.encode(),
                  row.attempt_id.encode(), has_line=True)
        for row in rows
    ]  # fmt: skip
    return [summary(call, SUBACCOUNT.encode()) for call in calls]


def _keep(scene: Scene, bodies: Sequence[bytes]) -> None:
    sealer = scene.stage.services.sealer
    keys = [f"vss-{json.loads(body)['payload']['sessionId']}" for body in bodies]
    events = [inbox.RawEvent(key, sealer.seal(body, row=key)) for key, body in zip(keys, bodies, strict=True)]
    with scene.stage.database.transaction() as connection:
        inbox.keep(connection, events)


def _by_orm(scene: Scene, bodies: Sequence[bytes]) -> float:
    """What the naive webhook handler does, without its HTTP and its job."""
    scene.tell("the ORM, row by row")
    engine = create_engine(make_url(scene.naive.database_url).set(drivername="postgresql+psycopg2"))
    sessions = sessionmaker(engine)
    payloads = [json.loads(body)["payload"] for body in bodies]
    with sessions() as db:
        for number, payload in enumerate(payloads):
            db.add(Call(message_id=f"orm-{time.time_ns()}-{number}", phone="", message="", repetition=2,
                        session_id=payload["sessionId"]))  # fmt: skip
        db.commit()
    began = time.monotonic()
    for payload in payloads:
        with sessions() as db:
            call = db.scalars(select(Call).where(Call.session_id == payload["sessionId"])).first()
            if call is not None:
                call.status = payload["sessionStatus"].lower()
            db.commit()
    rate = len(payloads) / (time.monotonic() - began)
    engine.dispose()
    scene.naive.clear()
    return rate


def _waiting(scene: Scene) -> float:
    with scene.stage.database.transaction() as connection:
        left = connection.execute(text("SELECT count(*) FROM webhook_inbox WHERE processed_at IS NULL")).scalar_one()
    return float(left)


def _undelivered(scene: Scene) -> float:
    with scene.stage.database.transaction() as connection:
        counted = text("SELECT count(*) FROM messages WHERE status <> :status")
        left = connection.execute(counted, {"status": Status.DELIVERED}).scalar_one()
    return float(left)
