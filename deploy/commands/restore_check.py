"""``ringpost restore-check``: before the workers start on a PostgreSQL that came from a backup."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import structlog

from deploy.commands.console import BAD_NEWS, Problem, json_option, load_settings, note, open_database, print_json
from deploy.commands.doctor import print_checks

if TYPE_CHECKING:
    from shared.db.database import Database
    from shared.settings import Settings


@click.command("restore-check")
@click.option("--hold", is_flag=True, help="First hold everything that waits; `ringpost failover` releases it.")
@json_option
@click.pass_context
def restore_check(context: click.Context, *, hold: bool, as_json: bool) -> None:
    """
    After a restore from a backup: see that nothing old is dialled, or hold it.

    A backup shows messages as waiting that were dialled since it was made. Run this with --hold before any worker is
    started, and again without it to see that all is well. Exit code 1 if a check fails; each says what to do about it.
    """
    from deploy.checks import check_database, failures
    from deploy.restored import checks

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the answer alone goes to the other
    settings = load_settings()
    with open_database(settings) as database:
        found = check_database(database)
        if not failures(found):
            if hold:
                _hold(settings, database)
            found += checks(database, settings.data_keys)
    failed = failures(found)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    else:
        print_checks(found)
    context.exit(BAD_NEWS if failed else 0)


def _hold(settings: Settings, database: Database) -> None:
    """A kill after the declaration leaves the rest to the workers, which hold before they claim."""
    from deploy.restored import at_work
    from shared.db.queries import restored
    from shared.services import build_services
    from workers import failover

    if busy := at_work(database):
        raise Problem(f"at work: {', '.join(busy)}; stop them first, or what they take now is held, too")
    with database.transaction() as connection:
        due = restored.count_due(connection)
        restored.declare_restored(connection)
        note(connection, "failover.restored", "all that waits is held", before={"due": due})
    services = build_services(settings, application="ringpost-cli", pool_size=1)
    try:
        failover.check_in(services)
    finally:
        services.close()
