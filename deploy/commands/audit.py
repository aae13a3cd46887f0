"""``ringpost audit``: the conservation audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from deploy.commands.console import BAD_NEWS, json_option, open_transaction, print_json

if TYPE_CHECKING:
    from shared.db.conservation import Finding


@click.command()
@click.option(
    "--grace",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds that a due row may wait; a backlog that takes longer shows up, too.",
)
@json_option
@click.pass_context
def audit(context: click.Context, grace: float, as_json: bool) -> None:  # noqa: FBT001
    """
    Prove that every message is accounted for.

    Each is final, told once, with its callbacks done, due or parked, or it is open and looked after. Exit code 1
    and the ids of whatever is not so.
    """
    from shared.db import conservation

    with open_transaction() as connection:
        found = conservation.findings(connection, grace)
        totals = conservation.totals(connection)
    if as_json:
        print_json({"ok": not found, **totals, "findings": [asdict(finding) for finding in found]})
    else:
        _print(found, sum(totals["messages"].values()), sum(totals["callbacks"].values()))
    context.exit(BAD_NEWS if found else 0)


def _print(found: Sequence[Finding], messages: int, callbacks: int) -> None:
    click.echo(f"{messages} messages and {callbacks} callbacks audited")
    for finding in found:
        click.echo(f"{finding.kind}: {finding.count} {finding.means}")
        for id_ in finding.ids:
            click.echo(f"  {id_}")
    if not found:
        click.echo("all are accounted for")
