"""Every place where a text or a number could come to lie, searched for what must be found nowhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

import psycopg2
import redis
import requests
from click.testing import CliRunner
from psycopg2 import sql

from deploy.chaos.needles import REACH, Needles
from deploy.chaos.stage import Stage
from deploy.cli import main
from deploy.demo.surroundings import environment_of

_CHUNK: Final = 8 * 1024 * 1024
_SAMPLE_S: Final = 0.1
#: What operators look at.
_COMMANDS: Final = (
    ("status",), ("status", "--json"), ("audit", "--json"), ("parked", "list", "--json"), ("providers", "list"),
    ("failover", "show"),
)  # fmt: skip
#: What PostgreSQL itself shows of statements, beside every table.
_VIEWS: Final = ("pg_stat_activity", "pg_stat_statements", "pg_prepared_statements")


@dataclass(frozen=True, slots=True, order=True)
class Leak:
    """Something was found where it must not be."""

    place: str
    what: str


class Watch:
    """While entered, samples what is there for moments only: running statements and everything in Redis."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)
        self.seen: Final[dict[str, set[bytes]]] = {"pg_stat_activity, sampled": set(), "Redis, sampled": set()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """One sample, as far as the engines are there."""
        with suppress(psycopg2.Error):
            self.seen["pg_stat_activity, sampled"].update(_rows(self._stage.engines.database_url, ["pg_stat_activity"]))
        with suppress(redis.RedisError, OSError):
            self.seen["Redis, sampled"].update(value for _, value in redis_values(self._stage.engines.redis_url))

    def _run(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.look()


def search(stage: Stage, needles: Needles, watch: Watch, spared: Iterable[Path] = ()) -> list[Leak]:
    """
    Everything that a drill leaves behind.

    Args:
        stage: With all its engines and processes running.
        needles: What must not be found.
        watch: What was there for moments.
        spared: The drill's own notes, which name the numbers.
    """
    _to_disk(stage)
    url = stage.engines.database_url
    places: dict[str, Callable[[], Iterable[bytes]]] = {
        **{f"PostgreSQL, {name}": partial(_rows, url, [name]) for name in _tables(url)},
        "GET /metrics": lambda: [metrics(stage)],
        **{f"ringpost {' '.join(words)}": partial(_told, stage, words) for words in _COMMANDS},
        **{name: partial(iter, seen.copy()) for name, seen in watch.seen.items()},  # it goes on looking
    }
    read = ((place, piece) for place, pieces in places.items() for piece in pieces())
    kept = ((f"Redis, {kind}", value) for kind, value in redis_values(stage.engines.redis_url))
    found = {Leak(place, what) for place, piece in chain(read, kept) for what in needles.found_in(piece)}
    return sorted(found | set(in_files(stage.folder, needles, spared)))


def in_files(folder: Path, needles: Needles, spared: Iterable[Path] = ()) -> Iterator[Leak]:
    """Logs, the spool, Redis's files, PostgreSQL's data and write-ahead log, whatever a crash left."""
    left_out = tuple(spared)
    for path in sorted(folder.rglob("*")):
        if any(path.is_relative_to(one) for one in left_out) or path.is_symlink() or not path.is_file():
            continue
        with suppress(FileNotFoundError):
            yield from (Leak(str(path.relative_to(folder)), what) for what in _in_file(path, needles))


def _in_file(path: Path, needles: Needles) -> set[str]:
    found: set[str] = set()
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(_CHUNK):
            found |= needles.found_in(tail + piece)
            tail = piece[-REACH:]
    return found


def redis_values(url: str) -> Iterator[tuple[str, bytes]]:
    """Every key with its value: its type, and the two of them."""
    read: dict[bytes, Callable[[redis.Redis, bytes], Any]] = {
        b"string": lambda client, key: client.get(key),
        b"list": lambda client, key: client.lrange(key, 0, -1),
        b"hash": lambda client, key: client.hgetall(key),
        b"set": lambda client, key: client.smembers(key),
        b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda client, key: client.xrange(key),
    }
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(count=1000):
            kind: Any = client.type(key)
            value = read[kind](client, key) if kind in read else kind
            yield kind.decode(), key + b" " + repr(value).encode()


def metrics(stage: Stage) -> bytes:
    """What a monitoring system sees."""
    token = stage.settings.metrics_token
    assert token is not None
    asked = {"Authorization": f"Bearer {token.get_secret_value()}"}
    answer = requests.get(f"{stage.url}/metrics", headers=asked, timeout=10)
    answer.raise_for_status()
    return answer.content


def _told(stage: Stage, words: tuple[str, ...]) -> list[bytes]:
    return [CliRunner().invoke(main, list(words), env=environment_of(stage.settings)).output.encode()]


def _tables(url: str) -> list[str]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                " UNION ALL SELECT viewname FROM pg_views WHERE viewname = ANY (%s)",
                (list(_VIEWS),),
            )
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()


def _rows(url: str, tables: Iterable[str]) -> Iterator[bytes]:
    """Each row of each table as text; bytes are hexadecimal in it."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table)))
                yield from (row.encode() for (row,) in cursor)
    finally:
        connection.close()


def _to_disk(stage: Stage) -> None:
    """Let both engines write down what they hold, and Redis without compressing it."""
    with redis.Redis.from_url(stage.engines.redis_url) as client:
        client.config_set("rdbcompression", "no")
        client.save()
    connection = psycopg2.connect(stage.engines.database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    connection.close()
