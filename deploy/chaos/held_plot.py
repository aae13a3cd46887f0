"""A long drill as a picture: what each process held, the connections, and how long everything took."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from deploy.bench.figures import percentile
from deploy.chaos.plot import mark
from deploy.chaos.records import Evidence, Kind
from deploy.chaos.steadiness import Points, latencies, lives_of

_INCHES: Final = (10.0, 11.0)
_BINS: Final = 180
_SHARES: Final = (0.5, 0.99)


def draw(evidence: Evidence, title: str, path: Path) -> Path | None:
    """Draw it as SVG; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ringpost"
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(5, 1, figsize=_INCHES, layout="constrained", sharex=True)
    memory, counts, redis, dials, callbacks = panels
    _draw_held(evidence, memory, counts, redis)
    for axes, (what, points) in zip((dials, callbacks), latencies(evidence).items(), strict=True):
        _draw_latency(axes, what, points)
    for axes in panels:
        mark(axes, evidence.history)
        axes.grid(visible=True, alpha=0.3)
    memory.set_title(title)
    callbacks.set_xlabel("seconds; red: a process or an engine was killed, orange: a fault began")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def binned(points: Points, share: float, bins: int = _BINS) -> Points:
    """A percentile of the values in each of so many parts of the time, at the part's middle; empty ones left out."""
    if not points:
        return []
    begin = min(at_s for at_s, _ in points)
    length = (max(at_s for at_s, _ in points) - begin) / bins or 1.0
    found: dict[int, list[float]] = defaultdict(list)
    for at_s, value in points:
        found[min(bins - 1, int((at_s - begin) / length))].append(value)
    return [
        (begin + (place + 0.5) * length, percentile(sorted(values), share)) for place, values in sorted(found.items())
    ]


def _draw_held(evidence: Evidence, memory: Any, counts: Any, redis: Any) -> None:
    held = [event for event in evidence.history if event.kind is Kind.HELD]
    colours: dict[str, str] = {}
    for life in lives_of(held):
        is_new = life.kind not in colours
        colour = colours.setdefault(life.kind, f"C{len(colours)}")
        memory.plot(*zip(*life.mib, strict=True), color=colour, linewidth=1, label=life.kind if is_new else None)
    memory.set_ylabel("MiB resident")
    memory.legend(loc="center left", fontsize="x-small", ncols=2)
    for what in ("connections", "descriptors", "threads"):
        points = [(event.at_s, _count(event.facts, what)) for event in held]
        counts.plot(*zip(*points, strict=True), linewidth=1, label=_SAID[what])
    counts.set_ylabel("of all processes")
    counts.legend(loc="center left", fontsize="x-small")
    known = [(event.at_s, event.facts["redis"] / 1024) for event in held if event.facts["redis"] is not None]
    if known:
        redis.plot(*zip(*known, strict=True), color="black", linewidth=1)
    redis.set_ylabel("Redis, KiB")
    for axes in (memory, counts, redis):
        axes.set_ylim(bottom=0)


_SAID: Final = {"connections": "PostgreSQL connections", "descriptors": "descriptors", "threads": "threads"}
_PLACES: Final = {"descriptors": 4, "threads": 5}


def _count(facts: Any, what: str) -> float:
    if what in _PLACES:
        return float(sum(process[_PLACES[what]] for process in facts["processes"]))
    return math.nan if facts[what] is None else float(facts[what])


def _draw_latency(axes: Any, what: str, points: Points) -> None:
    for share in _SHARES:
        curve = [(at_s, max(value, 0.1)) for at_s, value in binned(points, share)]
        if curve:
            axes.plot(*zip(*curve, strict=True), linewidth=1, label=f"p{100 * share:g}")
    axes.set_yscale("log")
    axes.set_ylabel(f"{what}, ms")
    axes.legend(loc="upper left", fontsize="x-small")
