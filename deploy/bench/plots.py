"""Plots as SVG, next to the results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.bench.result import Measured, Plot

_INCHES: Final = (7.0, 4.0)


def draw_all(measured: Iterable[Measured], folder: Path) -> list[Path]:
    """Draw every plot that has a curve into *folder*; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return []
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ringpost"  # the same ids each time, so that a new run changes little
    plots = [plot for one in measured for plot in one.plots if any(plot.curves.values())]
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(plot, folder / f"{plot.name}.svg") for plot in plots]


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
