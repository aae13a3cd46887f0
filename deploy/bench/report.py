"""The results as people read them: a table on the terminal, and a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.bench.goals import Verdict
from deploy.bench.machine import Circumstances
from deploy.bench.result import Figure, Measured, written

_SAID: Final = {True: "met", False: "missed", None: "not measured"}
_COLOURS: Final = {True: "green", False: "red", None: "dim"}


def print_verdicts(verdicts: Sequence[Verdict], figures: Mapping[str, Figure], console: Console) -> None:
    """Each goal with its figure, its bound and what stands beside it."""
    table = Table(title="Goals", title_justify="left", show_edge=False, pad_edge=False)
    for column in ("goal", "measured", "bound", "", "beside it"):
        table.add_column(column, overflow="fold", justify="right" if column in ("measured", "bound") else "left")
    for verdict in verdicts:
        said = Text(_SAID[verdict.is_met], style=_COLOURS[verdict.is_met])
        table.add_row(verdict.goal.what, _value(verdict), _bound(verdict), said, _beside(verdict, figures))
    console.print(table)


def results(measured: Sequence[Measured], verdicts: Sequence[Verdict], around: Circumstances, plots: Sequence[Path],
            folder: Path) -> str:  # fmt: skip
    """The text of results.md; *plots* are linked as seen from *folder*."""
    figures = {figure.key: figure for one in measured for figure in one.figures}
    parts = [
        *_head(around),
        "## Goals",
        "",
        "| goal | measured | bound | | beside it |",
        "|---|--:|--:|---|---|",
        *(
            f"| {v.goal.what} | {_value(v)} | {_bound(v)} | {_SAID[v.is_met]} | {_beside(v, figures)} |"
            for v in verdicts
        ),
        "",
    ]
    for one in measured:
        parts += _section(one)
    for path in plots:
        parts += [f"![{path.stem}]({os.path.relpath(path, folder)})", ""]
    return "\n".join(parts)


def _head(around: Circumstances) -> Iterator[str]:
    yield "# Benchmark results"
    yield ""
    yield "Written by `ringpost bench`. Engines, Ringpost, its rivals and the load generator share one machine: trust"
    yield "the ratios, not the absolute figures. Figures are medians of rounds, which alternate between both."
    yield ""
    yield f"* machine: {around.machine}; load when the run began: {around.load:.1f}"
    yield f"* commit: {around.commit}; Python {around.python}"
    yield f"* date: {around.date}"
    for line in around.engines:
        yield f"* {line}"
    yield ""


def _section(one: Measured) -> Iterator[str]:
    yield f"## {one.title}"
    yield ""
    yield "| | |"
    yield "|---|--:|"
    for figure in one.figures:
        yield f"| {figure.label} | {written(figure.value, figure.unit)} |"
    yield ""
    for note in one.notes:
        yield note
        yield ""


def _value(verdict: Verdict) -> str:
    return "-" if verdict.figure is None else written(verdict.figure.value, verdict.figure.unit)


def _bound(verdict: Verdict) -> str:
    goal = verdict.goal
    return f"{'≥' if goal.at_least else '≤'} {goal.bound:g}"


def _beside(verdict: Verdict, figures: Mapping[str, Figure]) -> str:
    known = [figures[key] for key in verdict.goal.beside if key in figures]
    return "; ".join(f"{figure.label} {written(figure.value, figure.unit)}" for figure in known)
