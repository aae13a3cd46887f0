"""``ringpost pace``: how fast to dial and how many calls to have up, changed while everything runs."""

from __future__ import annotations

import click

from deploy.commands.console import WRONG_USE, Problem, actor, json_option, load_settings, open_transaction, print_json


@click.group()
def pace() -> None:
    """How fast to dial, and how many calls to have up: show, set."""


@pace.command()
@json_option
def show(as_json: bool) -> None:  # noqa: FBT001
    """Show what is allowed, and what 8x8 bears of it."""
    from shared.db import reports
    from shared.services import pace_of

    settings = load_settings()
    with open_transaction(settings) as connection:
        found = reports.limits(connection, pace_of(settings))
    if as_json:
        print_json(found)
        return
    who = f", set by {found['set_by']} at {found['set_at']:%Y-%m-%d %H:%M:%S} UTC" if found["set_by"] else ""
    click.echo(
        f"dials a second   {found['dials_per_second']:.3g} of {found['allowed_dials_per_second']:g} allowed{who}"
    )
    click.echo(f"calls in flight  {found['lines']:.0f} of {found['allowed_calls_in_flight']} allowed{who}")


@pace.command("set")
@click.option("--dials-per-second", "dials", metavar="N|default", help="Callflows a second at most.")
@click.option("--calls-in-flight", "calls", metavar="N|default", help="Calls up at once at most.")
def set_(dials: str | None, calls: str | None) -> None:
    """Allow so many from the next claim on; default: what DIALS_PER_SECOND and MAX_CALLS_IN_FLIGHT say."""
    from shared.db import reports
    from shared.db.queries import pacing
    from shared.services import pace_of

    if dials is None and calls is None:
        raise Problem("--dials-per-second or --calls-in-flight: one is required", WRONG_USE)
    settings = load_settings()
    limits = pace_of(settings)
    with open_transaction(settings) as connection:
        now = reports.limits(connection, limits)
        try:
            wanted = (
                now["pace_set"] if dials is None else pacing.read_pace(dials),
                now["lines_set"] if calls is None else pacing.read_lines(calls),
            )
        except ValueError as error:
            raise Problem(str(error), WRONG_USE) from None
        pacing.set_limits(connection, limits, wanted, by=actor())
    click.echo("in force from the next claim on, in every process")
