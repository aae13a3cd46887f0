"""``ringpost up``: every process of the Procfile under one supervisor."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from deploy.commands.console import WRONG_USE, Problem

if TYPE_CHECKING:
    from deploy.engines import Engines


@click.command()
@click.option("--scale", metavar="NAME=COUNT", multiple=True, help="Such as calls-otp=4; may be repeated.")
def up(scale: Sequence[str]) -> None:
    """
    Run every process of the Procfile, restarting what dies.

    Starts an embedded PostgreSQL and Valkey when DATABASE_URL or REDIS_URL is unset, and migrates that PostgreSQL.
    SIGTERM and Ctrl-C let the processes finish what is under way.
    """
    from deploy import fleet
    from deploy.engines import Engines
    from deploy.engines.keeper import Keeper
    from deploy.supervisor import Supervisor, scaled
    from shared.settings import Settings

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the supervisor takes it over
    settings = Settings.load()
    counts = _counts(scale)
    if counts.get("web", 1) and settings.port and not fleet.is_free(settings.host, settings.port):
        raise Problem(f"PORT: {settings.port} is taken on {settings.host}", WRONG_USE)
    with Engines(settings.ringpost_data_dir, settings.database_url, settings.redis_url) as engines:
        for line in engines.describe():
            click.echo(line)
        prepare_database(engines)
        # URLs that were given, maybe in files, the processes read as we did.
        environment = (
            fleet.program_paths()
            | engines.private_urls()
            | {
                "HOST": settings.host,
                "PORT": str(settings.port),
                "WEB_CONCURRENCY": str(settings.web_concurrency),
            }
        )
        try:
            wanted = scaled(fleet.processes(environment), counts)
        except ValueError as error:
            raise Problem(f"--scale: {error}", WRONG_USE) from None
        click.echo(f"listening on http://{settings.host}:{settings.port}")
        with Keeper(engines, tell_line):
            Supervisor(wanted, on_exit=tell_exit).run()


def _counts(scale: Sequence[str]) -> dict[str, int]:
    counts = {}
    for word in scale:
        name, _, count = word.partition("=")
        if not count.isdecimal():
            raise Problem(f"--scale: {word!r} is not NAME=COUNT", WRONG_USE)
        counts[name] = int(count)
    return counts


def prepare_database(engines: Engines) -> None:
    """
    Migrate the embedded database; only look at one that is somebody else's.

    Raises:
        Problem: The external database lacks migrations.
    """
    from shared.db.database import Database
    from shared.db.migrate import migrate, pending

    database = Database(engines.database_url, application="ringpost-cli", pool_size=1)
    try:
        if engines.postgres is not None:
            for revision in migrate(database):
                click.echo(f"applied {revision}")
        elif missing := database.run(pending):
            raise Problem(f"the database lacks {', '.join(missing)}: run `ringpost migrate`", WRONG_USE)
    finally:
        database.close()


def tell_line(line: str) -> None:
    """Say what happened to an engine."""
    click.echo(line, err=True)


def tell_exit(name: str, pid: int, code: int, delay_s: float) -> None:
    """Say that a process died and when it starts again."""
    click.echo(f"{name} (pid {pid}) ended with code {code}; starts again in {delay_s:.1f} s", err=True)
