"""``ringpost chaos``: break things on this machine and see whether every promise holds."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import BAD_NEWS, WRONG_USE, Problem, json_option
from deploy.commands.thorough import THOROUGH, refuse_options

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.bench.machine import Circumstances
    from deploy.chaos.conductor import Played, Programme

_NEEDED: Final = ("aiohttp", "psutil")
_SEEDS: Final = 2**31


@click.group(invoke_without_command=True)
@click.option("--quick", is_flag=True, help="About a minute for the burst, seconds for the others.")
@click.option("--only", metavar="NAME", multiple=True, help="Only this drill; may be repeated. The soak must be named.")
@click.option("--minutes", type=click.FloatRange(1, 32), help="How long the soak takes; default: 30.")
@click.option("--seed", type=click.IntRange(0, _SEEDS), help="The same seed breaks the same things; default: any.")
@click.option("--messages", type=click.IntRange(1, 100_000), help="How many, instead of the drill's own count.")
@click.option("--results", type=click.Path(path_type=Path), help="A folder for verdicts and timelines; default: none.")
@json_option
@click.pass_context
def chaos(context: click.Context, /, only: Sequence[str], seed: int | None, as_json: bool, **how: Any) -> None:  # noqa: FBT001
    """
    Break things on this machine and see whether every promise holds.

    Starts engines and processes of its own, kills them while messages come in, and holds what 8x8 was asked, what
    the database knows and what was called back against each other. Exit code 1 when a promise was broken.
    """
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(f"{', '.join(missing)} missing: pip install '.[embedded]'", WRONG_USE)
    from rich.console import Console

    from deploy.bench.machine import look_around
    from deploy.chaos import conductor

    known = [one.name for one in conductor.PROGRAMMES]
    if unknown := [name for name in only if name not in known]:
        raise Problem(f"--only: {', '.join(unknown)} is none of {', '.join(known)}", WRONG_USE)
    long = [one.name for one in conductor.chosen(only) if one.per_minute is not None]
    if how["minutes"] is not None and not long:
        raise Problem("--minutes: is for the soak; add --only soak", WRONG_USE)
    if how["minutes"] is not None and how["messages"] is not None:
        raise Problem("--minutes: --messages says how long the soak takes; give one of them", WRONG_USE)
    console = Console(stderr=as_json, highlight=False)
    chosen_seed = secrets.randbelow(_SEEDS) if seed is None else seed
    around = look_around([])
    played = _played(conductor.chosen(only), console, chosen_seed, how)
    _tell(played, around, console, how["results"])
    if as_json:
        _print_json(played, around)
    context.exit(0 if all(one.result.verdict.holds for one in played) else BAD_NEWS)


for _command in THOROUGH:
    chaos.add_command(_command)


def _played(wanted: Sequence[Programme], console: Console, seed: int, how: Mapping[str, Any]) -> list[Played]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from deploy.chaos import conductor
    from shared.log import configure

    configure("text", "ERROR")  # that the conductor, too, has to wait for PostgreSQL is no news
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    played = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("beginning", total=len(wanted))

        def tell(what: str) -> None:
            progress.update(task, description=f"{what:<60.60}")

        tell("starting the engines, Ringpost and 8x8")
        with conductor.stage(*wanted) as stage:
            for programme in wanted:
                messages = programme.messages_in(how["minutes"]) or how["messages"]
                one = conductor.play(programme, stage, seed, tell, quick=how["quick"], messages=messages)
                played.append(one)
                said = "every promise held" if one.result.verdict.holds else "BROKEN"
                progress.console.print(f"{programme.name}: {said}, {one.took_s:.0f} s")
                progress.advance(task)
            tell("ending every process")
    return played


def _tell(played: Sequence[Played], around: Circumstances, console: Console, results: Path | None) -> None:
    from deploy.chaos.page import page

    for one in played:
        text = page(one, around)
        console.print(text, markup=False)
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            name = f"{one.programme.name}-{one.seed}"
            (results / f"{name}.txt").write_text(text)
            one.programme.draw(one.result.evidence, f"{one.programme.title} (seed {one.seed})", results / f"{name}.svg")
    if results is not None:
        console.print(f"written to {results}")


def _print_json(played: Sequence[Played], around: Circumstances) -> None:
    import json

    told = {
        "around": asdict(around),
        "drills": [
            {
                "name": one.programme.name,
                "seed": one.seed,
                "holds": one.result.verdict.holds,
                "tookSeconds": round(one.took_s, 1),
                "figures": dict(one.result.verdict.figures),
                "violations": [asdict(violation) for violation in one.result.verdict.violations],
            }
            for one in played
        ],
    }
    click.echo(json.dumps(told, indent=2))
