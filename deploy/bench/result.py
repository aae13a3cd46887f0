"""What a measurement says: figures by key, curves for plots. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; None when it could not be had."""

    key: str
    label: str
    value: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves in one frame, by what they show."""

    name: str
    title: str
    x: str
    y: str
    curves: dict[str, Points]
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars in one frame: for each part, in the order they are piled up, its height in each bar."""

    name: str
    title: str
    y: str
    bars: list[str]
    parts: dict[str, list[float]]


@dataclass(slots=True)
class Measured:
    """One measurement's yield. Keys are unique over the whole run: they start with the measurement's name."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    bars: list[Bars] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    took_s: float = 0.0

    def add(self, key: str, label: str, value: float | None, unit: str = "") -> float | None:
        """Note a figure under ``name.key``, and give the value back."""
        self.figures.append(Figure(f"{self.name}.{key}", label, value, unit))
        return value


def by_key(measured: Iterable[Measured]) -> dict[str, Figure]:
    """Every figure of a run."""
    return {figure.key: figure for one in measured for figure in one.figures}


def written(value: float | None, unit: str = "") -> str:
    """A value as people read it: three digits that mean something, and its unit."""
    if value is None:
        return "-"
    if value in (float("inf"), float("-inf")):
        return "∞"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    gap = "" if unit in ("x", "") else " "
    return f"{value:,.{digits}f}{gap}{unit}"
