"""T11: one endpoint drips, one swallows everything, one sends bombs; eight others are well and notice nothing."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final

from sqlalchemy import text

from deploy.bench.figures import percentile
from deploy.chaos.checker import Bounds
from deploy.chaos.crowd import BOMBS, HOSTILE, Crowd
from deploy.chaos.drill import Drill
from deploy.chaos.records import Evidence
from shared.lifecycle import FINAL_EVENT_TYPES

_WELL: Final = 8
_QUICK: Final = 275  # messages of each round
_FULL: Final = 1100
_QUICK_TURNS: Final = 1
_FULL_TURNS: Final = 9
_RATE: Final = 55.0  # messages a second, whoever sends them: more traffic alone would make them wait
_CONTROL: Final = "control"
_HOSTILE: Final = "hostile"
#: The well ones alone; all.
_KINDS: Final = (_CONTROL, _HOSTILE)
_WORSE: Final = 1.2
_MOST_MIB: Final = 20.0
#: Who sends callbacks: first ones, and repeats.
_SENDERS: Final = ("events", "callbacks")
_FAILED: Final = text("""
SELECT count(*) FROM delivery_attempts WHERE error IS NOT NULL AND started_at >= to_timestamp(:since)
""")


def hostile(drill: Drill, *, quick: bool, messages: int | None = None) -> Bounds:
    """
    Rounds with and without the hostile ones in turn; these are cured after each, and everything is told.

    Without them the well ones send as much as all do together otherwise.
    """
    count = messages or (_QUICK if quick else _FULL)
    turns = _QUICK_TURNS if quick else _FULL_TURNS
    with Crowd(drill, _WELL) as crowd:
        _round(drill, crowd.everybody, "warm", max(len(crowd.everybody), count // 4))
        before = _peaks_mib(drill)
        for place in range(turns):
            for kind in _KINDS if place % 2 == 0 else reversed(_KINDS):  # what drifts touches all alike
                _play(drill, crowd, kind, place, count)
                drill.await_rest(Bounds().drain_s)
        after = _peaks_mib(drill)
    _measure(drill)
    for role in sorted(before.keys() & after.keys()):
        drill.measure(f"{role}: peak MiB once warm", before[role])
        drill.measure(f"{role}: peak MiB more", after[role] - before[role], _MOST_MIB)
    return Bounds(undetermined=0.0, duplicates=math.inf)  # what a hostile endpoint did not answer for comes again


def _play(drill: Drill, crowd: Crowd, kind: str, place: int, count: int) -> None:
    """One round of a kind, of so many messages."""
    if kind == _CONTROL:
        _round(drill, crowd.well, f"{kind}{place}", count)
        return
    with crowd.hostile(BOMBS[place % len(BOMBS)]):
        _round(drill, crowd.everybody, f"{kind}{place}", count)


def _round(drill: Drill, headers: Sequence[Mapping[str, str]], prefix: str, count: int) -> None:
    with drill.load(count, _RATE, headers=headers, is_mixed=False, prefix=prefix):
        pass


def _measure(drill: Drill) -> None:
    evidence = drill.gather()
    p99: dict[str, float] = {}
    for kind in _KINDS:
        rounds = [sorted(found) for found in waits(evidence, kind, _WELL)]
        p99[kind] = median(percentile(found, 0.99) for found in rounds)
        drill.measure(f"{kind}: callbacks of the well", sum(map(len, rounds)))
        drill.measure(f"{kind}: p50 of a round, ms", 1000 * median(percentile(found, 0.5) for found in rounds))
        drill.measure(f"{kind}: p99 of a round, ms", 1000 * p99[kind])
    drill.measure("callback p99, hostile / control", p99[_HOSTILE] / p99[_CONTROL], _WORSE)
    drill.measure("callbacks of the well, doubled", _doubled(evidence), 0)
    known = {"since": drill.since}
    failed = drill.stage.database.run(lambda connection: int(connection.execute(_FAILED, known).scalar_one()))
    drill.measure("callbacks that failed", failed)


def is_of_the_well(message_id: str, well: int) -> bool:
    """Whether the provider whose turn it was is a well one: these come first in each turn."""
    prefix, _, place = message_id.rpartition("-")
    return int(place) % (well if prefix.startswith(_CONTROL) else well + HOSTILE) < well


def waits(evidence: Evidence, kind: str, well: int) -> list[list[float]]:
    """Seconds from a final status to its first callback, of the well ones in each round of a kind."""
    told: dict[str, float] = {}
    for one in evidence.deliveries:
        if one.type in FINAL_EVENT_TYPES:
            told[one.message_id] = min(one.at, told.get(one.message_id, one.at))
    rounds: dict[str, list[float]] = defaultdict(list)
    for row in evidence.rows:
        if row.finished_at is not None and row.message_id in told and is_of_the_well(row.message_id, well):
            rounds[row.message_id.rpartition("-")[0]].append(told[row.message_id] - row.finished_at)
    return [found for prefix, found in rounds.items() if prefix.startswith(kind)]


def _peaks_mib(drill: Drill) -> dict[str, float]:
    """The most that the kernel has seen each sender of callbacks hold, however shortly; nothing outside Linux."""
    found = {}
    for role in _SENDERS:
        with suppress(OSError):
            told = [Path(f"/proc/{pid}/status").read_text() for pid in drill.stage.workers(role)]
            found[role] = max(peak_mib(status) for status in told)
    return found


def peak_mib(status: str) -> float:
    """``VmHWM`` of a process's status as the kernel writes it, in MiB."""
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def _doubled(evidence: Evidence) -> int:
    told = Counter((one.message_id, one.type) for one in evidence.deliveries if is_of_the_well(one.message_id, _WELL))
    return sum(count > 1 for count in told.values())
