"""Summaries that wait in the inbox: how fast they become statuses, events and callbacks."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import sessionmaker

from deploy.bench import bulk
from deploy.bench.figures import ratio
from deploy.bench.load.ledger import Ledger
from deploy.bench.load.voice import Call as VoiceCall
from deploy.bench.load.voice import summary
from deploy.bench.naive.tables import Call
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from deploy.bench.stage import SUBACCOUNT
from shared.db.queries import inbox
from shared.lifecycle import Lane
from workers.reconcile_events import ReconcileEvents

_DIALLED_S = 30.0


def reconcile(scene: Scene) -> Measured:
    """The worker's step in this process, on a full inbox, then with one summary at a time."""
    measured = Measured("reconcile", "Reconciling 8x8's summaries")
    bodies = _placed(scene, scene.count(600, 2500))
    few = bodies[: max(2, len(bodies) // 10)]
    step = ReconcileEvents(scene.stage.services)
    scene.tell("one summary at a time")
    began = time.monotonic()
    for body in few:
        _keep(scene, [body])
        step()
    by_row = len(few) / (time.monotonic() - began)
    scene.tell("a full inbox")
    _keep(scene, bodies[len(few) :])
    began = time.monotonic()
    step()
    ours = (len(bodies) - len(few)) / (time.monotonic() - began)
    by_orm = _by_orm(scene, few)
    measured.add("times", "summaries a second, against one at a time", ratio(ours, by_row), "x")
    measured.add("ours", "the whole step on a full inbox", ours, "/s")
    measured.add("by_row", "the same step, one summary and transaction at a time", by_row, "/s")
    measured.add("by_orm", "an ORM that only looks up, updates and commits", by_orm, "/s")
    measured.add("open", "summaries left in the inbox", _waiting(scene))
    scene.stage.clear()
    return measured


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
