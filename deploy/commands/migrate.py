"""``ringpost migrate``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import Problem, open_database

if TYPE_CHECKING:
    from shared.db.database import Database

_LOOK_S: Final = 1.0


@click.command()
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Change nothing: wait, for so long at most, until it was done elsewhere.",
)
def migrate(wait_s: float | None) -> None:
    """
    Bring the database to this version's schema.

    Safe to run at any time and from several places at once. A migration that cannot have its locks within 5 s
    gives up; run it again.
    """
    from shared.db.migrate import migrate as run

    with open_database() as database:
        applied = run(database) if wait_s is None else _wait(database, wait_s)
    for revision in applied:
        click.echo(f"applied {revision}")
    if not applied:
        click.echo("the database is up to date")


def _wait(database: Database, wait_s: float) -> list[str]:
    """
    Nothing was applied here.

    Raises:
        Problem: The database lacks something still, or was away all the time.
    """
    from shared.db.database import DatabaseAway
    from shared.db.migrate import pending

    ends_at = time.monotonic() + wait_s
    while True:
        try:
            missing = database.run(pending)
        except DatabaseAway:
            missing = None
        if missing == []:
            return missing
        if time.monotonic() >= ends_at:
            what = "PostgreSQL cannot be reached" if missing is None else f"the database lacks {', '.join(missing)}"
            raise Problem(f"{what}: `ringpost migrate` was awaited for {wait_s:g} s")
        time.sleep(_LOOK_S)
