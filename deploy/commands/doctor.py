"""``ringpost doctor``: check everything that Ringpost depends on."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import BAD_NEWS, json_option, load_settings, open_database, print_json

if TYPE_CHECKING:
    from deploy.checks import Check

#: Checks without which the database has nothing to tell.
_NEEDED: Final = ("PostgreSQL", "schema")


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """
    Check settings, engines and 8x8 before anything depends on them, and name what waits for a person.

    Rings nobody and changes nothing. Exit code 1 if a check fails; each says what to do about it.
    """
    from deploy import checks
    from deploy.leftovers import check_leftovers
    from shared.services import build_voice_api

    settings = load_settings()
    found = checks.check_settings(settings)
    with open_database(settings) as database:
        found += checks.check_database(database)
        if not any(check.grade is checks.Grade.FAILURE for check in found if check.name in _NEEDED):
            found += check_leftovers(database, settings.spool_dir)
    found += checks.check_redis(str(settings.redis_url))
    found += checks.check_voice_api(settings, build_voice_api(settings))
    found += checks.check_data_dir(settings.ringpost_data_dir)
    failed = checks.failures(found)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    else:
        _print(found)
    context.exit(BAD_NEWS if failed else 0)


def _print(found: list[Check]) -> None:
    colours = {"ok": "green", "warning": "yellow", "failure": "red"}
    for check in found:
        row = asdict(check)
        click.echo(click.style(f"{row['grade']:<8}", fg=colours[row["grade"]]) + f"{row['name']:<17} {row['found']}")
        if row["remedy"]:
            click.echo(f"{'':<8} -> {row['remedy']}")
