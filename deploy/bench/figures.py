"""What is made of many measured values. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: A curve for a plot has at most so many points.
CURVE_POINTS: Final = 60


@dataclass(frozen=True, slots=True)
class Spread:
    """How values of one kind are spread; latencies are in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that *share* of the ordered values do not exceed; by nearest rank, so it is one of them."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values: Iterable[float]) -> Spread | None:
    """The spread of *values*; None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p90, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99))
    return Spread(len(ordered), p50, p90, p99, ordered[-1])


def median(values: Iterable[float | None]) -> float | None:
    """The median of what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ratio(value: float | None, base: float | None) -> float | None:
    """*value* in units of *base*; None when one is unknown or there is nothing to compare with."""
    return None if value is None or not base else value / base


def per_second(moments: Iterable[float], since: float | None = None) -> float | None:
    """
    How many a second: events after *since* up to the last one.

    Without *since* the first event starts the clock and is not counted. None for too few events to tell.
    """
    ordered = sorted(moments)
    start = since if since is not None else (ordered[0] if ordered else 0.0)
    counted = len(ordered) if since is not None else len(ordered) - 1
    if counted < 1 or ordered[-1] <= start:
        return None
    return counted / (ordered[-1] - start)


def curve(moments: Iterable[float]) -> list[tuple[float, int]]:
    """How many had happened by when: seconds since the first event and a count, for a plot."""
    ordered = sorted(moments)
    step = max(1, len(ordered) // CURVE_POINTS)
    places = [*range(0, len(ordered), step), len(ordered) - 1] if ordered else []
    return [(ordered[place] - ordered[0], place + 1) for place in dict.fromkeys(places)]
