"""``ringpost doctor``: check everything that Ringpost depends on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    WRONG_USE,
    Problem,
    json_option,
    load_settings,
    open_database,
    print_json,
)

if TYPE_CHECKING:
    from deploy.checks import Check

#: Checks without which the database has nothing to tell.
_NEEDED: Final = ("PostgreSQL", "schema")


@click.command()
@click.option("--worker", metavar="ROLE", help="Only ask whether that role's processes here get on with their work.")
@json_option
@click.pass_context
def doctor(context: click.Context, worker: str | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Check settings, engines and 8x8 before anything depends on them, and name what waits for a person.

    Rings nobody and changes nothing. Exit code 1 if a check fails; each says what to do about it. With --worker it is
    a liveness probe, such as --worker calls-otp: it reads signs of life in RINGPOST_DATA_DIR and asks nobody else, so
    that no worker is restarted because PostgreSQL or Redis is away.
    """
    if worker is not None:
        context.exit(_probe(worker, as_json=as_json))
    from deploy import checks
    from deploy.commands.status import vitals_of
    from deploy.leftovers import check_leftovers
    from shared.services import build_voice_api

    settings = load_settings()
    found = checks.check_settings(settings)
    with open_database(settings) as database:
        found += checks.check_database(database)
        if not any(check.grade is checks.Grade.FAILURE for check in found if check.name in _NEEDED):
            found += check_leftovers(database, settings.spool_dir)
            found += checks.check_alarms(vitals_of(settings, database))
    found += checks.check_redis(str(settings.redis_url))
    found += checks.check_voice_api(settings, build_voice_api(settings))
    found += checks.check_data_dir(settings.ringpost_data_dir)
    failed = checks.failures(found)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    else:
        print_checks(found)
    context.exit(BAD_NEWS if failed else 0)


def _probe(role: str, *, as_json: bool) -> int:
    """The exit code: whether each living process of *role* on this machine, and one at least, beats."""
    from deploy import fleet
    from deploy.procfile import beat_of
    from shared.heartbeat import SILENT_S, beats

    names = {role: name for role, command in fleet.commands().items() if (name := beat_of(command)) is not None}
    if role not in names:
        raise Problem(f"--worker: {role!r} is none of {', '.join(names)}", WRONG_USE)
    found = beats(_data_dir(), names[role])
    is_well = bool(found) and all(beat.age_s < SILENT_S for beat in found)
    if as_json:
        print_json({"ok": is_well, "role": role, "processes": [asdict(beat) for beat in found]})
    else:
        for beat in found:
            click.echo(f"{role} (pid {beat.pid}): last sign of life {max(0.0, beat.age_s):.1f} s ago")
        if not found:
            click.echo(f"{role}: no living process gives signs of life in {_data_dir()}")
    return 0 if is_well else BAD_NEWS


def _data_dir() -> Path:
    """Reading all settings takes half a second of processor time, and a probe asks again and again."""
    told = os.environ.get("RINGPOST_DATA_DIR")
    return Path(told) if told else load_settings().ringpost_data_dir


def print_checks(found: Sequence[Check]) -> None:
    """Each check in a line, and what to do about it in another."""
    colours = {"ok": "green", "warning": "yellow", "failure": "red"}
    for check in found:
        row = asdict(check)
        click.echo(click.style(f"{row['grade']:<8}", fg=colours[row["grade"]]) + f"{row['name']:<17} {row['found']}")
        if row["remedy"]:
            click.echo(f"{'':<8} -> {row['remedy']}")
