"""``ringpost restore-check``: before the workers start on a PostgreSQL that came from a backup."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
import structlog

from deploy.commands.console import BAD_NEWS, json_option, load_settings, note, print_json
from deploy.commands.doctor import print_checks

if TYPE_CHECKING:
    from shared.services import Services


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
    from deploy import restored
    from deploy.checks import check_database, failures
    from shared.services import build_services

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the answer alone goes to the other
    settings = load_settings()
    services = build_services(settings, application="ringpost-cli", pool_size=1)
    try:
        found = check_database(services.database)
        if not failures(found):
            if hold:
                _hold(services)
            found += restored.checks(services)
    finally:
        services.close()
    failed = failures(found)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in found]})
    else:
        print_checks(found)
    context.exit(BAD_NEWS if failed else 0)


def _hold(services: Services) -> None:
    """A kill after the first line leaves it to the workers, which hold before they claim."""
    from shared.db.queries import failover as queries
    from workers import failover

    due = services.database.run(queries.count_due, alone=True)
    services.database.run(queries.declare_restored, alone=True)
    failover.check_in(services)
    left = services.database.run(queries.count_due, alone=True)
    services.database.run(lambda c: note(c, "failover.restored", "all that waited", {"due": left}, before={"due": due}))
