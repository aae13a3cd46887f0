"""What Ringpost is compared with, as running processes on the same engines."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psutil
import psycopg2
import redis

from deploy import fleet
from deploy.bench import one_insert
from deploy.bench.crew import Crew
from deploy.bench.generator import Generator
from deploy.bench.naive.tables import Base
from deploy.bench.stage import SUBACCOUNT, Stage
from deploy.procfile import Process

_HOST: Final = "127.0.0.1"
_DATABASE: Final = "naive"
_OURS: Final = "ingress.server:create"
_FLOOR: Final = "deploy.bench.floor:create"
_FLOOR_THREADS: Final = 1  # where nothing waits, one thread serves fastest
_WAITING_THREADS: Final = 16
_WORKERS: Final = 2
_WORKER_THREADS: Final = 8


def _granian(factory: str, port: int, *, workers: int, threads: int) -> list[str]:
    return (
        f"granian --interface wsgi --factory --workers {workers} --blocking-threads {threads} --backlog 1024"
        f" --backpressure 256 --no-ws --log-level error --host {_HOST} --port {port} {factory}"
    ).split()


class Rival:
    """One web server to send messages to, and its workers if it has any."""

    def __init__(self, name: str, stage: Stage, port: int, headers: dict[str, str]) -> None:
        self.name: Final = name
        self.url: Final = f"http://{_HOST}:{port}"
        self.submit_url: Final = f"{self.url}/api/make-call"
        self.vss_url: Final = f"{self.url}/api/webhooks/vss"
        self.headers: Final = headers
        self._stage = stage
        self.crew: Crew | None = None

    def spent_s(self) -> dict[str, float]:
        """Processor seconds of its roles."""
        return self.crew.spent_s() if self.crew else {}


class Naive(Rival):
    """The naive design: the same number of processes as Ringpost's own web and calls."""

    def __init__(self, stage: Stage, generator: Generator) -> None:
        super().__init__("naive", stage, fleet.free_port(_HOST), stage.headers)
        assert stage.engines.postgres is not None
        self.database_url: Final = stage.engines.postgres.create_database(_DATABASE)
        self.redis_url: Final = stage.engines.redis_url.replace("db=0", "db=1")
        self._generator = generator
        self._environment = stage.environment(
            NAIVE_DATABASE_URL=self.database_url,
            NAIVE_REDIS_URL=self.redis_url,
            NAIVE_VOICE_URL=f"{generator.voice_url}/api/v1/subaccounts/{SUBACCOUNT}/callflows",
            NAIVE_CALLBACK_URL=generator.callback_urls[0],
            NAIVE_KEY=stage.headers["Authorization"],
        )

    @contextmanager
    def running(self) -> Iterator[Naive]:
        """Start it; end it on leaving."""
        self._make_tables()
        port = int(self.url.rpartition(":")[2])
        web = _granian("deploy.bench.naive.web:create", port, workers=_WORKERS, threads=_WAITING_THREADS)
        worker = (
            f"dramatiq deploy.bench.naive.jobs --processes {_WORKERS} --threads {_WORKER_THREADS} --skip-logging"
        ).split()
        processes = [
            Process(name="naive-web", command=web, env=self._environment),
            Process(name="naive-worker", command=worker, env=self._environment),
        ]
        with self._stage.crew(processes, f"{self.url}/readyz") as self.crew:
            yield self
        self.crew = None

    def world(self, **changes: Any) -> None:
        """Let 8x8 behave so, and report to this service."""
        self._generator.become(**({"vss_url": self.vss_url, "subaccount": SUBACCOUNT} | changes))

    @contextmanager
    def workers_held(self) -> Iterator[None]:
        """Let its workers do nothing for a while, so that its jobs do not run while others are measured: frozen."""
        frozen = self.crew.families()["naive-worker"] if self.crew else []
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in frozen:
                _let_go(process)

    def clear(self) -> None:
        """Empty its table and its queue. Workers frozen in a transaction lose it, or they would hold us up."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()
        execute(
            self.database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            "TRUNCATE calls RESTART IDENTITY",
        )

    def _make_tables(self) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy.engine import make_url

        engine = create_engine(make_url(self.database_url).set(drivername="postgresql+psycopg2"))
        Base.metadata.create_all(engine)
        engine.dispose()
        one_insert.create_table(self.database_url)


def floor_command() -> str:
    """The Procfile's line for ``web`` with the floor's app in the place of ours."""
    (web,) = (process for process in fleet.processes({}) if process.name == "web")
    return str(web.command).replace(_OURS, _FLOOR)


@contextmanager
def floor(stage: Stage, *, workers: int = 2) -> Iterator[Rival]:
    """What stores nothing, on the server that ours runs on."""
    port = fleet.free_port(_HOST)
    environment = stage.environment(PORT=str(port), WEB_CONCURRENCY=str(workers))
    with _serving("floor", stage, port, Process(name="floor", command=floor_command(), env=environment)) as rival:
        yield rival


@contextmanager
def wsgi_floor(stage: Stage, *, workers: int = 2) -> Iterator[Rival]:
    """The same on granian's WSGI, with one thread."""
    port = fleet.free_port(_HOST)
    command = _granian("deploy.bench.floor:create_wsgi", port, workers=workers, threads=_FLOOR_THREADS)
    process = Process(name="wsgi-floor", command=command, env=stage.environment())
    with _serving("WSGI floor", stage, port, process) as rival:
        yield rival


@contextmanager
def one_insert_a_request(stage: Stage, naive: Naive, *, workers: int = 2) -> Iterator[Rival]:
    """One committed row and one enqueue a request."""
    port = fleet.free_port(_HOST)
    environment = stage.environment(NAIVE_DATABASE_URL=naive.database_url, NAIVE_REDIS_URL=naive.redis_url)
    command = _granian("deploy.bench.one_insert:create", port, workers=workers, threads=_WAITING_THREADS)
    with _serving("one insert", stage, port, Process(name="one-insert", command=command, env=environment)) as rival:
        yield rival


@contextmanager
def _serving(name: str, stage: Stage, port: int, process: Process) -> Iterator[Rival]:
    rival = Rival(name, stage, port, {})
    with stage.crew([process], f"{rival.url}/readyz") as rival.crew:
        yield rival


def _let_go(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGCONT)
    except psutil.Error:
        return


def execute(url: str, *statements: str) -> None:
    """Statements outside of any transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
