"""What Ringpost holds on to while a drill runs: memory, descriptors, threads, connections, Redis's memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psutil
import redis
from sqlalchemy import text

from deploy.bench.crew import family_spent_s
from deploy.chaos import victims
from deploy.chaos.history import History
from deploy.chaos.records import Kind
from deploy.chaos.repeated import repeated
from deploy.chaos.stage import Stage
from shared.db.database import DatabaseAway

_MIB: Final = 1024 * 1024
_PATIENCE_S: Final = 1.0
#: The drill's own connections are not Ringpost's.
_CONNECTIONS: Final = text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> 'chaos'
""")


class Watch:
    """Looks every so often and writes what it sees into a history."""

    def __init__(self, stage: Stage, history: History, every_s: float) -> None:
        self._stage = stage
        self._history = history
        self._every_s = every_s
        self._redis: Any = redis.Redis.from_url(stage.engines.redis_url, socket_timeout=_PATIENCE_S)
        self._spent = (0.0, 0.0, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch while entered."""
        self._foreign()  # from now on
        try:
            with repeated(self._look, self._every_s, "watch"):
                yield
        finally:
            self._redis.close()

    def _look(self) -> None:
        self._history.note(
            Kind.HELD,
            processes=self._processes(),
            connections=self._connections(),
            redis=self._redis_bytes(),
            foreign=self._foreign(),
        )

    def _processes(self) -> list[list[Any]]:
        """Of each: its kind, pid and start, MiB resident, descriptors but for those of its clients, threads."""
        found: list[list[Any]] = []
        for role in self._stage.roles:
            workers = self._stage.workers(role)
            master = victims.master_of(self._stage.supervisor, role)
            kinds = [(role, pid) for pid in workers]
            if master is not None and master not in workers:
                kinds.append((f"{role} master", master))
            for kind, pid in kinds:
                with suppress(psutil.Error, OSError):
                    process = psutil.Process(pid)
                    mib = round(process.memory_info().rss / _MIB, 3)
                    own = process.num_fds() - _clients(process, self._stage.settings.port)
                    found.append([kind, pid, process.create_time(), mib, own, process.num_threads()])
        return found

    def _connections(self) -> int | None:
        with suppress(DatabaseAway):
            return self._stage.database.run(
                lambda connection: int(connection.execute(_CONNECTIONS).scalar_one()), patience_s=_PATIENCE_S
            )
        return None

    def _redis_bytes(self) -> int | None:
        with suppress(redis.RedisError, OSError):
            return int(self._redis.info("memory")["used_memory"])
        return None

    def _foreign(self) -> float:
        """The share of the machine that neither the drill nor what it started had since the last look."""
        machine = psutil.cpu_times()
        everything = sum(machine) - machine.guest - machine.guest_nice  # guests' time is in that of users, too
        busy = everything - machine.idle - machine.iowait
        ours = family_spent_s(self._ours())
        before, self._spent = self._spent, (everything, busy, ours)
        passed = everything - before[0]
        foreign = (busy - before[1]) - (ours - before[2])
        return round(min(1.0, max(0.0, foreign / passed)), 4) if passed > 0 else 0.0

    def _ours(self) -> list[psutil.Process]:
        drill = psutil.Process(os.getpid())
        found = {process.pid: process for process in [drill, *drill.children(recursive=True)]}
        for engine in (self._stage.engines.postgres, self._stage.engines.valkey):
            with suppress(psutil.Error, OSError):
                if engine is not None and engine.pid is not None:
                    head = psutil.Process(engine.pid)
                    found |= {process.pid: process for process in [head, *head.children(recursive=True)]}
        return list(found.values())


def _clients(process: psutil.Process, port: int) -> int:
    """Open connections that came in: how many there are, and for how long, is the clients' choice."""
    return sum(
        one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp")
    )
