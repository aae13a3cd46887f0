"""Plots as SVG, next to the results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.bench.result import Bars, Measured, Plot

_INCHES: Final = (7.0, 4.0)


def draw_all(measured: Iterable[Measured], folder: Path) -> list[Path]:
    """Draw every plot that has a curve or a bar into *folder*; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ringpost"  # the same ids each time, so that a new run changes little
    known = list(measured)
    plots = [plot for one in known for plot in one.plots if any(plot.curves.values())]
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *(_draw(plot, folder / f"{plot.name}.svg") for plot in plots),
        *(_pile(bars, folder / f"{bars.name}.svg") for one in known for bars in one.bars),
    ]


def _draw(plot: Plot, path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    for name, points in plot.curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 20 else "")
    if plot.logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(plot.title)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _pile(bars: Bars, path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=_INCHES, layout="constrained")
    colours = plt.get_cmap("tab20")
    reached = [0.0] * len(bars.bars)
    drawn = {part: heights for part, heights in bars.parts.items() if any(heights)}
    for number, (part, heights) in enumerate(drawn.items()):
        axes.bar(bars.bars, heights, bottom=reached, label=part, color=colours(number), width=0.6)
        reached = [below + height for below, height in zip(reached, heights, strict=True)]
    axes.set_title(bars.title)
    axes.set_ylabel(bars.y)
    axes.grid(visible=True, axis="y", alpha=0.3)
    figure.legend(*(each[::-1] for each in axes.get_legend_handles_labels()), loc="outside right upper")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
