"""
The figures that alarms go by, of PostgreSQL, Redis and the spool's disk: for ``GET /metrics`` and ``ringpost status``.

They are gauges, read where the truth is, so that any process can answer for all. :mod:`shared.alarms` judges them.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import redis
import structlog

from shared import jobs
from shared.broker import CONSUMER_NAME
from shared.db import vitals
from shared.db.database import Database, is_away
from shared.db.queries import counters

#: So long each part may take, in seconds: beyond it the part is not known, and whoever asks has waited enough.
PATIENCE_S: Final = 2.0
#: What is written to see whether the spool's disk takes anything, in bytes: a block, more than most webhooks.
_PROBE: Final = bytes(4096)

log = structlog.get_logger()


class Vitals:
    """Looks at each part from a thread of its own: one that hangs holds up neither the others nor the answer."""

    def __init__(
        self,
        database: Database,
        client: redis.Redis,
        spool_dir: Path,
        caps: Mapping[str, int | None] = vitals.NO_CAPS,
        *,
        counted: bool = False,
    ) -> None:
        """
        Args:
            database: PostgreSQL.
            client: Redis.
            spool_dir: Where webhooks wait for PostgreSQL.
            caps: Calls that may be made in a day.
            counted: Read what all processes counted, too.
        """
        self._looks: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
            "database": lambda: _of_database(database, caps, counted=counted),
            "redis": lambda: _of_redis(client),
            "disk": lambda: _of_disk(spool_dir),
        }
        self._threads: dict[str, threading.Thread] = {}

    def read(self) -> dict[str, Any]:
        """
        Every figure that can be had now; for one thread at a time.

        What cannot is left out: ``known`` says of each part whether it was read, ``database_up`` and ``redis_up``
        whether they answered. Never raises, and takes no longer than :data:`PATIENCE_S`.
        """
        found: dict[str, dict[str, Any]] = {}
        for part in self._looks:
            # One look at a time: where PostgreSQL hangs, further ones would hang beside it.
            if not (thread := self._threads.get(part)) or not thread.is_alive():
                self._threads[part] = self._begin(part, found)
        ends_at = time.monotonic() + PATIENCE_S
        for thread in self._threads.values():
            thread.join(max(0.0, ends_at - time.monotonic()))
        return _joined(found.copy(), self._looks)  # who comes late writes into what nobody reads

    def _begin(self, part: str, found: dict[str, dict[str, Any]]) -> threading.Thread:
        def look() -> None:
            try:
                found[part] = self._looks[part]()
            except Exception as error:  # noqa: BLE001  whatever it is, the other parts are told
                found[part] = {}
                log.error("figures_not_read", part=part, error=str(error).partition("\n")[0])  # noqa: TRY400

        thread = threading.Thread(target=look, name=f"vitals-{part}", daemon=True)
        thread.start()
        return thread


def _joined(found: Mapping[str, Mapping[str, Any]], parts: Iterable[str]) -> dict[str, Any]:
    """One that answered what cannot be read is up all the same, and one that hangs is not."""
    joined: dict[str, Any] = {"database_up": int("database" in found), "redis_up": int("redis" in found)}
    for figures in found.values():
        joined |= figures
    known = {part: int(bool(found.get(part)) and joined.get(f"{part}_up") != 0) for part in parts}
    return joined | {"known": known}


def gather(
    database: Database, client: redis.Redis, spool_dir: Path, caps: Mapping[str, int | None] = vitals.NO_CAPS
) -> dict[str, Any]:
    """Every figure that can be had now, for whoever asks once: see :meth:`Vitals.read`."""
    return Vitals(database, client, spool_dir, caps).read()


def _of_database(database: Database, caps: Mapping[str, int | None], *, counted: bool) -> dict[str, Any]:
    try:
        began = time.time()
        found = database.run(partial(vitals.read, caps=caps), alone=True, patience_s=0.5)
    except Exception as error:
        if not is_away(error):
            raise
        return {"database_up": 0}
    found["clock_ahead_s"] = found.pop("clock") - (began + time.time()) / 2
    if counted:
        found["counted"] = database.run(counters.read, alone=True, patience_s=0.5)
    return {"database_up": 1, **found}


def _of_redis(client: redis.Redis) -> dict[str, Any]:
    queues = [job.queue for job in jobs.ALL]
    try:
        with client.pipeline(transaction=False) as pipe:
            pipe.info("memory")
            pipe.client_list()
            for queue in queues:
                pipe.zcard(f"dramatiq:{queue}.XQ")
            memory, clients, *lengths = pipe.execute()
    except (redis.RedisError, OSError):
        return {"redis_up": 0}
    bound = memory.get("maxmemory") or memory.get("total_system_memory")
    names = [client.get("name") for client in clients]
    return {
        "redis_up": 1,
        "redis_memory_share": memory["used_memory"] / bound if bound else None,
        "dead_letters": dict(zip(queues, lengths, strict=True)),
        "consumers": {queue: names.count(CONSUMER_NAME.format(queue)) for queue in queues},
    }


def _of_disk(folder: Path) -> dict[str, Any]:
    sizes = []
    for path in folder.glob("*.jsonl*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # replayed meanwhile
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    disk = shutil.disk_usage(there)
    return {
        "spool_files": len(sizes),
        "spool_bytes": sum(sizes),
        "spool_parked_files": len(list(folder.glob("*.parked"))),
        "spool_disk_used_share": disk.used / (disk.used + disk.free) if disk.used + disk.free else None,
        "spool_disk_free_bytes": disk.free,
        "spool_writable": _takes_writes(there),
    }


def _takes_writes(folder: Path) -> int | None:
    """Whether a webhook could be written there now; None for a user who may not."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            return int(probe.write(_PROBE) == len(_PROBE))
    except PermissionError:
        return None
    except OSError:
        return 0
