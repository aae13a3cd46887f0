"""``ringpost chaos sweep``, ``lives``, ``bites``, ``fuzz``: trials that go through everything there is, one by one."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from deploy.commands.console import BAD_NEWS, WRONG_USE, F, Problem, json_option, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.chaos.proof import Proof

#: Told of what is under way, and the share that is done.
_Tell = Callable[[str, float], None]

_SEEDS: Final = 2**31
_CASES: Final = 100_000
_QUICK_CASES: Final = 2000
_KINDS: Final = ("kill", "raise", "pause")
#: Where no bar can be drawn, a line each time that so much more is done.
_STEP: Final = 0.05


def refuse_options(context: click.Context) -> None:
    """
    A trial has options of its own.

    Raises:
        Problem: Some were given before its name, where they would be those of the drills.
    """
    given = [
        f"--{name.removeprefix('as_')}"
        for name in context.params
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        name = context.invoked_subcommand
        raise Problem(f"{', '.join(given)}: write what is for chaos {name} behind {name}", WRONG_USE)


def _told(command: F) -> F:
    """Add ``--results`` and ``--json``."""
    folder = click.Path(file_okay=False, path_type=Path)
    option = click.option("--results", type=folder, help="A folder for the verdict and the log; default: none.")
    return option(json_option(command))


@click.command()
@click.option("--kinds", metavar="KIND,...", default=",".join(_KINDS), show_default=True, help="What happens there.")
@_told
def sweep(kinds: str, results: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Let each failpoint kill, fail or stop its process once, and see whether every promise holds.

    Every role runs twice, so that others take over from whoever dies or sleeps. A pause takes 40 s, longer than any
    lease: all of it takes about 15 minutes, without pauses 3. Exit code 1 when a promise was broken, or a failpoint
    was never passed.
    """
    from deploy.chaos.armed import DrillStage
    from deploy.chaos.sweep import proof_of, rounds_for
    from deploy.chaos.sweep import sweep as sweep_all
    from shared.failpoints import Action

    actions = [Action(kind) for kind in _chosen(kinds)]
    steps = sum(len(rounds_for(action)) + 1 for action in actions)
    with _trial(results, as_json=as_json) as (folder, tell, end):
        done = 0

        def told(what: str) -> None:
            nonlocal done
            tell(what, done / steps)
            done += 1

        with DrillStage(folder, rivals=2) as stage:
            swept = [sweep_all(stage, action, tell=told) for action in actions]
        end(proof_of(swept))


def _chosen(kinds: str) -> list[str]:
    wanted = list(dict.fromkeys(part.strip() for part in kinds.split(",")))
    if unknown := [kind for kind in wanted if kind not in _KINDS]:
        raise Problem(f"--kinds: {', '.join(unknown) or 'nothing'} is none of {', '.join(_KINDS)}", WRONG_USE)
    return wanted


@click.command()
@click.option("--lives", "count", type=click.IntRange(1), default=2000, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0, _SEEDS), help="The same seed plays the same lives; default: any.")
@_told
def lives(count: int, seed: int | None, results: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Play random lives of messages, 50 happenings each, against the real steps.

    Needs the tests, which an installed package lacks. 2,000 lives take about half an hour of one core. Exit code 1
    when one of them broke a promise; its happenings are in the log.
    """
    from deploy.chaos import suites

    chosen = secrets.randbelow(_SEEDS) if seed is None else seed
    with _trial(results, as_json=as_json) as (folder, tell, end):
        end(suites.lives(count, chosen, folder / "processes.log", tell))


@click.command()
@_told
def bites(results: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Plant bugs, one after the other, and see the test that is named for each notice it.

    Needs the tests, which an installed package lacks, and some minutes. Exit code 1 when a bug went unnoticed.
    """
    from deploy.chaos import suites

    with _trial(results, as_json=as_json) as (folder, tell, end):
        end(suites.bites(folder / "processes.log", tell))


@click.command()
@click.option("--cases", "count", type=click.IntRange(10), default=_CASES, show_default=True, help="How many requests.")
@click.option("--quick", is_flag=True, help=f"{_QUICK_CASES} requests, instead of a number.")
@click.option("--seed", type=click.IntRange(0, _SEEDS), help="The same seed sends the same requests; default: any.")
@_told
def fuzz(count: int, seed: int | None, results: Path | None, *, quick: bool, as_json: bool) -> None:
    """
    Send a running ingress what nobody should send, and hold each answer against the OpenAPI document.

    Needs the tests, which an installed package lacks. 100,000 requests take about ten minutes of both cores. Exit
    code 1 for a 5xx, an answer that is not documented, a process that died, or anything stored that was not accepted
    or not stored once.
    """
    from deploy.chaos import suites

    chosen = secrets.randbelow(_SEEDS) if seed is None else seed
    with _trial(results, as_json=as_json) as (folder, tell, end):
        end(suites.fuzz(_QUICK_CASES if quick else count, chosen, folder / "processes.log", tell))


THOROUGH: Final = (sweep, lives, bites, fuzz)


@contextmanager
def _trial(results: Path | None, *, as_json: bool) -> Iterator[tuple[Path, _Tell, Callable[[Proof], None]]]:
    """A folder to work in, whom to tell how far it is, and whom to give the proof; then ends with the exit code."""
    from rich.console import Console

    from deploy.bench.machine import look_around
    from deploy.chaos.suites import NoTestsError
    from shared.log import configure

    configure("text", "ERROR")  # that we, too, have to wait for PostgreSQL is no news
    console = Console(stderr=as_json, highlight=False)
    around = look_around([])
    proofs: list[Proof] = []
    with tempfile.TemporaryDirectory(prefix="ringpost-chaos-") as name:
        folder = Path(name)
        try:
            with _progress(console) as tell:
                yield folder, tell, proofs.append
        except NoTestsError as error:
            raise Problem(str(error), WRONG_USE) from None
        (proof,) = proofs
        from deploy.chaos.proof import page_of

        text = page_of(proof, around)
        console.print(text, markup=False)
        if results is not None:
            _keep(results, proof, text, folder / "processes.log")
            console.print(f"written to {results}")
    if as_json:
        print_json({"around": asdict(around), "trial": asdict(proof) | {"holds": proof.holds}})
    if not proof.holds:
        click.get_current_context().exit(BAD_NEWS)


def _keep(results: Path, proof: Proof, text: str, log: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    name = proof.name if proof.seed is None else f"{proof.name}-{proof.seed}"
    (results / f"{name}.txt").write_text(text)
    (results / f"{name}.log").write_bytes(log.read_bytes())


@contextmanager
def _progress(console: Console) -> Iterator[_Tell]:
    """A bar on a terminal; elsewhere a line now and then, as a trial may take half an hour."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    told = -1.0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=1.0)

        def tell(what: str, share: float) -> None:
            nonlocal told
            progress.update(task, description=f"{what:<60.60}", completed=share)
            if not console.is_terminal and share >= told + _STEP:
                console.print(f"{share:.0%} {what}", markup=False, soft_wrap=True)
                told = share

        yield tell
