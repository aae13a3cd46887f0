"""
The figures that alarms go by, of PostgreSQL, Redis and the spool's disk: for ``GET /metrics`` and ``ringpost status``.

They are gauges, read where the truth is, so that any process can answer for all.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import redis

from shared import jobs
from shared.db import vitals
from shared.db.database import Database, is_away

#: Beyond this, in seconds, clocks are an alarm.
CLOCK_LIMIT_S: Final = 2.0
#: Beyond these shares, Redis's memory and the spool's disk are one.
MEMORY_LIMIT: Final = 0.6
DISK_LIMIT: Final = 0.8

#: Names of the gauges that are not `ringpost_<figure>`, and what each means.
_HELP: Final[Mapping[str, str]] = {
    "database_up": "PostgreSQL answered.",
    "redis_up": "Redis answered.",
    "overdue_seconds": "Age of the longest overdue message, by status.",
    "dial_unknown_messages": "Messages of which nobody knows whether a phone rang; counted up to 10000.",
    "dial_unknown_oldest_seconds": "Age of the oldest of them.",
    "held_messages": "Of them, those held back since PostgreSQL was promoted.",
    "unmatched_events": "Webhooks of a call session that nobody knows.",
    "unmatched_oldest_seconds": "Age of the oldest of them.",
    "parked_events": "Webhooks set aside after failing or killing their worker.",
    "parked_callbacks": "Callbacks set aside after their last try.",
    "sweeper_silent_seconds": "Time since a sweeper gave a sign of life.",
    "sweeper_clock_off_seconds": "Largest difference between a sweeper's clock and PostgreSQL's.",
    "clock_ahead_seconds": "PostgreSQL's clock before this process's.",
    "undetermined_share": "Of the messages that ended in the last hour, those that ended undetermined.",
    "answer_share": "Of the calls that rang and ended in the last hour, those that were heard.",
    "quarantined_ranges": "Ranges of numbers that are not called, as calls to them look like toll fraud.",
    "fallen_heard_share": "Of the calls of a provider to a country, those that were heard, where far fewer than usual.",
    "fallen_used_share": "Of the codes that were heard there, those that were used, where far fewer than usual.",
    "dead_letters": "Jobs in Dramatiq's dead letter queue, which should hold none, by queue.",
    "redis_memory_share": "Redis's memory, of what it may or can have.",
    "spool_files": "Files of webhooks that wait for PostgreSQL.",
    "spool_bytes": "Their size.",
    "spool_parked_files": "Files of webhooks that could not be stored.",
    "spool_disk_used_share": "How full the disk of the spool is.",
    "spool_disk_free_bytes": "What is left of it.",
}
#: Figures that are one by label, and the label's name.
_LABELS: Final = {
    "overdue_seconds": "status",
    "dead_letters": "queue",
    "fallen_heard_share": "where",
    "fallen_used_share": "where",
}


def gather(database: Database, client: redis.Redis, spool_dir: Path) -> dict[str, Any]:
    """Every figure that can be had now; what is away is told by ``database_up`` and ``redis_up``."""
    return _of_database(database) | _of_redis(client) | _of_disk(spool_dir)


def _of_database(database: Database) -> dict[str, Any]:
    try:
        began = time.time()
        found = database.run(vitals.read, alone=True, patience_s=0.5)
    except Exception as error:
        if not is_away(error):
            raise
        return {"database_up": 0}
    found["clock_ahead_s"] = found.pop("clock") - (began + time.time()) / 2
    return {"database_up": 1, **found}


def _of_redis(client: redis.Redis) -> dict[str, Any]:
    queues = [job.queue for job in jobs.ALL]
    try:
        with client.pipeline(transaction=False) as pipe:
            pipe.info("memory")
            for queue in queues:
                pipe.zcard(f"dramatiq:{queue}.XQ")
            memory, *lengths = pipe.execute()
    except (redis.RedisError, OSError):
        return {"redis_up": 0}
    bound = memory.get("maxmemory") or memory.get("total_system_memory")
    return {
        "redis_up": 1,
        "redis_memory_share": memory["used_memory"] / bound if bound else None,
        "dead_letters": dict(zip(queues, lengths, strict=True)),
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
    }


def alarms(figures: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each figure that somebody should look at now."""
    if (figures.get("held_messages") or 0) > 0:
        yield f"{figures['held_messages']} messages are held since PostgreSQL was promoted: `ringpost failover show`"
    clock_s = max(abs(figures.get("clock_ahead_s") or 0.0), figures.get("sweeper_clock_off_s") or 0.0)
    if clock_s > CLOCK_LIMIT_S:
        yield f"a clock is {clock_s:.1f} s from PostgreSQL's"
    if (figures.get("redis_memory_share") or 0.0) > MEMORY_LIMIT:
        yield f"Redis uses {figures['redis_memory_share']:.0%} of its memory"
    if (figures.get("spool_disk_used_share") or 0.0) > DISK_LIMIT:
        yield f"the disk of the webhook spool is {figures['spool_disk_used_share']:.0%} full"
    if dead := sum((figures.get("dead_letters") or {}).values()):
        yield f"{dead} jobs lie in Dramatiq's dead letter queues, which should be empty"
    if (figures.get("undetermined_share") or 0.0) > 0.001:
        yield f"{figures['undetermined_share']:.1%} of the last hour's messages ended undetermined"
    for what in ("events", "callbacks"):
        if figures.get(f"parked_{what}"):
            yield f"{figures[f'parked_{what}']} {what} are set aside: `ringpost parked list`"
    yield from _frauds(figures)
    if figures.get("spool_parked_files"):
        yield f"{figures['spool_parked_files']} spooled webhooks cannot be stored: `ringpost parked list`"


def _frauds(figures: Mapping[str, Any]) -> Iterator[str]:
    yield from figures.get("fallen") or ()
    if figures.get("quarantined_ranges"):
        yield f"{figures['quarantined_ranges']} ranges of numbers are in quarantine: `ringpost quarantines list`"


def _escaped(value: str) -> str:
    """A label's value: providers are named by people."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exposition(figures: Mapping[str, Any]) -> str:
    """The figures in Prometheus's text format; those that are not known are left out."""
    lines = []
    named = {name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name: figures[name] for name in figures}
    for name, meaning in _HELP.items():
        if (value := named.get(name)) is None:
            continue
        lines += [f"# HELP ringpost_{name} {meaning}", f"# TYPE ringpost_{name} gauge"]
        label = _LABELS.get(name)
        if label is None:
            lines.append(f"ringpost_{name} {float(value):.10g}")
        else:
            lines += [f'ringpost_{name}{{{label}="{_escaped(key)}"}} {float(one):.10g}' for key, one in value.items()]
    return "\n".join(lines) + "\n"
