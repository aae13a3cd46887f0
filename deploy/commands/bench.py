"""``ringpost bench``: measure Ringpost on this machine and hold it against its goals."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import WRONG_USE, Problem, json_option

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.bench.machine import Circumstances
    from deploy.bench.programme import Measurement
    from deploy.bench.result import Figure, Measured

_NEEDED: Final = ("httptools", "uvloop", "aiohttp", "psutil")
_RESULTS: Final = Path(__file__).resolve().parent.parent / "bench" / "results.md"


@click.command()
@click.option("--quick", is_flag=True, help="Under 2 minutes: fewer measurements, smaller counts.")
@click.option("--only", metavar="NAME", multiple=True, help="Only this measurement; may be repeated.")
@click.option("--results", type=click.Path(path_type=Path), help="Where to write; default: deploy/bench/results.md.")
@json_option
def bench(quick: bool, only: Sequence[str], results: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Measure Ringpost on this machine and hold it against its goals.

    Starts engines and processes of its own, takes 20 minutes or more, prints ratios with the absolute figures beside
    them, and writes results.md with plots, and of a whole run capacity.md. A missed goal is reported, and is no error.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(f"{', '.join(missing)} missing: run `./deploy/benchmark`, or pip install '.[bench]'", WRONG_USE)
    from rich.console import Console

    from deploy.bench import programme

    known = [one.name for one in programme.MEASUREMENTS]
    if unknown := [name for name in only if name not in known]:
        raise Problem(f"--only: {', '.join(unknown)} is none of {', '.join(known)}", WRONG_USE)
    console = Console(stderr=as_json, width=None if Console().is_terminal else 200, highlight=False)
    measured, around = _measured(programme.chosen(only, quick=quick), console, quick=quick)
    _tell(measured, around, console, results or _RESULTS, as_json=as_json, is_part=bool(only))
    if not only and not quick and results is None:
        _plan(measured, around)


def _measured(wanted: Sequence[Measurement], console: Console, *, quick: bool) -> tuple[list[Measured], Circumstances]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from deploy.bench import programme
    from deploy.bench.machine import look_around

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("beginning", total=len(wanted))

        def tell(what: str) -> None:
            progress.update(task, description=f"{what:<60.60}")

        def done(one: Measured) -> None:
            progress.console.print(f"{one.title}: {one.took_s:.0f} s", *one.notes, sep="\n  ")
            progress.advance(task)

        around = look_around([])
        with programme.scene(quick=quick, tell=tell) as scene:
            measured = programme.run(wanted, scene, done)
            engines = look_around(scene.stage.engines.describe()).engines
    from dataclasses import replace

    return measured, replace(around, engines=engines)


def _plan(measured: list[Measured], around: Circumstances) -> None:
    """What the figures of a whole run say of other loads."""
    from deploy.bench import capacity
    from deploy.bench.result import by_key

    capacity.keep(by_key(measured), around)
    capacity.main()


def _tell(
    measured: list[Measured], around: Circumstances, console: Console, path: Path, *, as_json: bool, is_part: bool
) -> None:
    from deploy.bench import plots, report
    from deploy.bench.goals import judge
    from deploy.bench.result import by_key

    figures = by_key(measured)
    # A whole run shows its gaps; a part of one shows itself.
    asked = {one.name for one in measured}
    verdicts = [one for one in judge(figures) if not is_part or one.goal.key.partition(".")[0] in asked]
    measured_goals = [verdict for verdict in verdicts if verdict.figure is not None]
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw_all(measured, path.with_suffix(""))
    path.write_text(report.results(measured, verdicts, around, drawn, path.parent))
    report.print_verdicts(measured_goals, figures, console)
    console.print(f"written to {path}")
    if as_json:
        import json

        goals = [
            {"goal": v.goal.key, "bound": v.goal.bound, "value": _finite(v.figure), "met": v.is_met} for v in verdicts
        ]
        told = {
            "around": asdict(around),
            "goals": goals,
            "figures": [asdict(one) | {"value": _finite(one)} for one in figures.values()],
        }
        click.echo(json.dumps(told, indent=2))


def _finite(figure: Figure | None) -> float | None:
    """JSON knows no infinity."""
    return figure.value if figure and figure.value is not None and math.isfinite(figure.value) else None
