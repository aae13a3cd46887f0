"""What does it cost to have a million messages, and to have many that wait?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg2
import requests

from deploy import fleet
from deploy.bench import bulk
from deploy.bench.crew import Crew
from deploy.bench.figures import median, ratio
from deploy.bench.result import Measured, Plot
from deploy.bench.scene import Scene
from deploy.bench.stage import basic
from deploy.commands.providers import create_provider
from deploy.procfile import Process
from shared import jobs
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.db.queries import accept, claim, inbox
from shared.ids import new_id
from shared.lifecycle import Lane
from shared.services import pace_of

_ROUNDS: Final = 60
_CLAIMED: Final = 100
_WAITING: Final = 1000
_CHUNK: Final = 50_000
_RINGS: Final = 3000


@dataclass(frozen=True, slots=True)
class _Store:
    """One database with so many finished messages, and an ingress on it."""

    rows: int
    database: Database
    provider: dict[str, Any]
    url: str
    http: requests.Session


def growth(scene: Scene) -> Measured:
    """Two databases side by side, asked in turn."""
    measured = Measured("growth", "Growth: 1,000,000 stored messages against 10,000")
    scene.stage.start_web()
    scene.stage.stop_workers()
    scene.stage.clear()
    sizes = (scene.count(1000, 10_000), scene.count(20_000, 1_000_000))
    with ExitStack() as stack:
        small, large = (stack.enter_context(_store(scene, rows)) for rows in sizes)
        curves = {}
        for name, what in _QUESTIONS.items():
            scene.tell(f"{name}, in turn")
            times = [_timed(what, scene, store) for _ in range(_ROUNDS) for store in (small, large)]
            few, many = median(times[::2]), median(times[1::2])
            measured.add(name, f"{_SAID[name]}: time with {large.rows:,} against {small.rows:,}", ratio(many, few), "x")
            measured.add(f"{name}_small", f"{_SAID[name]} with {small.rows:,}", few, "ms")
            measured.add(f"{name}_large", f"{_SAID[name]} with {large.rows:,}", many, "ms")
            if few is None or many is None:
                measured.notes.append(f"{_SAID[name]}: this version does not offer it.")
                continue
            curves[_SAID[name]] = [(float(small.rows), few), (float(large.rows), many)]
        _waiting(scene, measured, small)
    measured.plots = [
        Plot("growth", "Time with more stored messages", "stored messages", "ms", curves, logarithmic=True)
    ]
    return measured


@contextmanager
def _store(scene: Scene, rows: int) -> Iterator[_Store]:
    stage = scene.stage
    assert stage.engines.postgres is not None
    url = stage.engines.postgres.create_database(f"growth_{rows}")
    database = Database(url, application="bench", pool_size=1, statement_timeout_s=600)
    migrate(database)
    with database.transaction() as connection:
        provider: dict[str, Any] = {**create_provider(connection, stage.settings, "growth", None, None)}
    for first in range(1, rows + 1, _CHUNK):
        scene.tell(f"storing {first - 1:,} of {rows:,} messages")
        with database.transaction() as connection:
            bulk.fill_finished(connection, provider["provider_id"], first, min(rows, first + _CHUNK - 1))
    with database.transaction() as connection:
        bulk.fill_waiting(connection, provider["provider_id"], Lane.OTP, 1, _WAITING)
    scene.tell(f"vacuuming {rows:,} messages")
    vacuum(url)
    port = fleet.free_port("127.0.0.1")
    environment = stage.environment(DATABASE_URL=url, PORT=str(port), WEB_CONCURRENCY="1")
    web = [Process(name="web", command=fleet.processes({})[0].command, env=environment)]
    with Crew(web, stage.log, ready_url=f"http://127.0.0.1:{port}/readyz"), requests.Session() as http:
        http.headers.update(basic((provider["key_id"], provider["secret"])))
        yield _Store(rows, database, provider, f"http://127.0.0.1:{port}", http)
    database.close()


def vacuum(url: str) -> None:
    """Leave a database as autovacuum would in time, its statistics true."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    connection.close()


#: Does one thing; returns False where it is not offered.
_Question = Callable[[Scene, _Store], bool]


def _timed(question: _Question, scene: Scene, store: _Store) -> float | None:
    """Milliseconds."""
    began = time.perf_counter()
    offered = question(scene, store)
    return 1000 * (time.perf_counter() - began) if offered else None


def _accept(scene: Scene, store: _Store) -> bool:
    phones = range(bulk.BULK_PHONES, bulk.BULK_PHONES + 1)
    rows = list(bulk.new_messages(scene.stage, store.provider["provider_id"], Lane.ALERT, phones, new_id("grown")))
    store.database.run(lambda connection: accept.store(connection, rows), alone=True)
    return True


def _claim(scene: Scene, store: _Store) -> bool:
    pace = pace_of(scene.stage.settings)
    connection = store.database.engine.connect()
    claim.claim(connection, pace, Lane.OTP, wanted=_CLAIMED, claim_id=new_id("claim"))
    connection.rollback()
    connection.close()
    return True


def _session(_scene: Scene, store: _Store) -> bool:
    with store.database.transaction() as connection:
        found = inbox.match(connection, [inbox.Question(0, f"session-{store.rows // 2}", None, None, None)])
    return bool(found)


def _status(_scene: Scene, store: _Store) -> bool:
    return store.http.get(f"{store.url}/v1/messages/msg_{store.rows // 2:026d}", timeout=10).status_code == 200


def _page(_scene: Scene, store: _Store) -> bool:
    return store.http.get(f"{store.url}/v1/messages?limit=50", timeout=10).status_code == 200


def _rare(_scene: Scene, store: _Store) -> bool:
    return store.http.get(f"{store.url}/v1/messages?last4=0000", timeout=10).status_code == 200


_QUESTIONS: Final[dict[str, _Question]] = {
    "accept": _accept,
    "claim": _claim,
    "session": _session,
    "status": _status,
    "page": _page,
    "rare": _rare,
}
_SAID: Final = {
    "accept": "accept one",
    "claim": "claim 100",
    "session": "look a session up",
    "status": "GET a message",
    "page": "GET a page of messages",
    "rare": "GET a page of messages to a number that none has",
}


def _waiting(scene: Scene, measured: Measured, store: _Store) -> None:
    """
    On the small database: claims and rings with few and with many messages waiting.

    Rings are timed with few before and after: a machine may change its speed while the many are written.
    """
    many = scene.count(5000, 100_000)
    claims = [median(_timed(_claim, scene, store) for _ in range(_ROUNDS // 2))]
    few = _ringing_ms(scene)
    scene.tell(f"{many:,} waiting messages")
    with store.database.transaction() as connection:
        bulk.fill_waiting(connection, store.provider["provider_id"], Lane.OTP, _WAITING + 1, many)
    vacuum(str(store.database.engine.url.render_as_string(hide_password=False)).replace("+psycopg2", ""))
    claims.append(median(_timed(_claim, scene, store) for _ in range(_ROUNDS // 2)))
    rings = _ringing_ms(scene)
    with store.database.transaction() as connection:
        bulk.clear_waiting(connection)
    few += _ringing_ms(scene)
    measured.add("waiting_claim", f"claims a second, {many:,} waiting against {_WAITING:,}", ratio(*claims))
    measured.add(
        "waiting_ring", f"rings a second, {many:,} waiting against {_WAITING:,}", ratio(median(few), median(rings))
    )
    measured.add("claim_ms", f"claim 100 of {many:,} waiting", claims[1], "ms")


def _ringing_ms(scene: Scene) -> list[float]:
    broker = scene.stage.services.broker
    ring = jobs.message_of(jobs.Job("bench", "bench"))
    times = []
    for _ in range(_RINGS):
        began = time.perf_counter()
        broker.ring(ring)
        times.append(1000 * (time.perf_counter() - began))
    return times
