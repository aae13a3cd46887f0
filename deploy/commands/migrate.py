"""``ringpost migrate``."""

from __future__ import annotations

import click

from deploy.commands.console import open_database


@click.command()
def migrate() -> None:
    """
    Bring the database to this version's schema.

    Safe to run at any time and from several places at once. A migration that cannot have its locks within 5 s
    gives up; run it again.
    """
    from shared.db.migrate import migrate as run

    with open_database() as database:
        applied = run(database)
    for revision in applied:
        click.echo(f"applied {revision}")
    if not applied:
        click.echo("the database is up to date")
