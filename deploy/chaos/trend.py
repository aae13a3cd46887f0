"""Whether a series rises by more than its own noise and what else the machine did explain. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from deploy.bench.figures import percentile

#: Blocks that a span is cut into: each long enough for a percentile, and together enough for a slope and its error.
BLOCKS: Final = 20
_FEWEST: Final = 8  # blocks with values
_NORMAL: Final = 2.576  # one-sided 0.5 %: of two hundred series without a trend, one is said to have one


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the span: its middle in seconds, a percentile of its values, the share of the machine others had."""

    at_s: float
    value: float
    foreign: float


@dataclass(frozen=True, slots=True)
class Trend:
    """What a straight line says: the level at the beginning, what was gained until the end, and its standard error."""

    level: float
    gain: float
    error: float
    freedom: int

    @property
    def sure_gain(self) -> float:
        """What was gained at least, with 99.5 % confidence; at most 0 where noise explains the slope."""
        return self.gain - student(self.freedom) * self.error

    @property
    def is_rising(self) -> bool:
        """Whether noise does not explain the slope."""
        return self.sure_gain > 0


def blocks(
    points: Sequence[tuple[float, float]],
    foreign: Sequence[tuple[float, float]],
    span: tuple[float, float],
    share: float,
) -> list[Block]:
    """
    Cut a span into blocks and take a percentile of each.

    Args:
        points: Moment in seconds and value, in any order.
        foreign: Moment and the share of the machine that others had; none: 0.
        span: Begin and end in seconds; what lies outside is left out.
        share: Of the percentile.
    """
    begin, end = span
    length = (end - begin) / BLOCKS
    found = []
    for place in range(BLOCKS):
        since = begin + place * length
        values = sorted(value for at_s, value in points if since <= at_s < since + length)
        beside = [value for at_s, value in foreign if since <= at_s < since + length]
        if values:
            told = statistics.fmean(beside) if beside else 0.0
            found.append(Block(since + length / 2, percentile(values, share), told))
    return found


def trend_of(found: Sequence[Block]) -> Trend | None:
    """
    Least squares over the blocks, on time and on what others took of the machine at once; None for too few blocks.

    Blocks next to each other are alike when the noise lasts longer than one: the error is widened by what the
    residuals tell of that (a first-order autoregression).
    """
    if len(found) < _FEWEST:
        return None
    beside = _centred([block.foreign for block in found])
    times = _without(_centred([block.at_s for block in found]), beside)
    values = _without(_centred([block.value for block in found]), beside)
    spread = sum(time * time for time in times)
    freedom = len(found) - 3
    slope = sum(time * value for time, value in zip(times, values, strict=True)) / spread
    rest = [value - slope * time for time, value in zip(times, values, strict=True)]
    squares = sum(one * one for one in rest)
    error = math.sqrt(squares / freedom / spread)
    alike = sum(one * after for one, after in pairwise(rest)) / squares if squares else 0.0
    alike = min(max(alike, 0.0), 0.9)
    length_s = found[-1].at_s - found[0].at_s
    mean = statistics.fmean(block.value for block in found)
    wider = math.sqrt((1 + alike) / (1 - alike))
    return Trend(mean - slope * length_s / 2, slope * length_s, error * wider * length_s, freedom)


def student(freedom: int) -> float:
    """The one-sided 99.5 % quantile of Student's distribution (Cornish and Fisher's expansion; exact to 1 % from 8)."""
    z = _NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _centred(values: Sequence[float]) -> list[float]:
    mean = statistics.fmean(values)
    return [value - mean for value in values]


def _without(values: Sequence[float], beside: Sequence[float]) -> list[float]:
    """What of *values* does not go with *beside*; both centred."""
    spread = sum(one * one for one in beside)
    if not spread:
        return list(values)
    along = sum(value * one for value, one in zip(values, beside, strict=True)) / spread
    return [value - along * one for value, one in zip(values, beside, strict=True)]
