"""``ringpost callbacks``: send callbacks to providers again."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from deploy.commands.console import WRONG_USE, Problem, note, open_transaction
from deploy.commands.providers import find_provider


@click.group()
def callbacks() -> None:
    """Send callbacks to providers again."""


@callbacks.command()
@click.argument("callback_id")
def resend(callback_id: str) -> None:
    """Send one callback again, parked or done, with its schedule from the start."""
    from shared.db.queries import callbacks as queries

    with open_transaction() as connection:
        before = queries.state_of(connection, callback_id)
        if not queries.resend(connection, callback_id):
            raise Problem(f"there is no parked or done callback {callback_id!r}")
        note(connection, "callback.resend", callback_id, {"state": "due"}, before={"state": before})
    click.echo(f"callback {callback_id} is due again")


@callbacks.command()
@click.option("--provider", required=True, metavar="P", help="Name or id.")
@click.option("--since", required=True, metavar="T", help="First event's time, such as 2026-10-05T09:00:00Z.")
@click.option("--until", metavar="T", help="Where to stop; default: now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def recover(provider: str, since: str, until: str | None, yes: bool) -> None:  # noqa: FBT001
    """Send every parked callback of a provider's events in a time range again."""
    from shared.db import reports
    from shared.db.queries import callbacks as queries

    first = _moment("--since", since)
    last = datetime.now(UTC) if until is None else _moment("--until", until)
    with open_transaction() as connection:
        provider_id = find_provider(connection, provider)
        count = reports.recoverable_callbacks(connection, provider_id, first, last)
    click.echo(f"{count} parked callbacks of {provider} between {since} and {until or 'now'}")
    if not count:
        return
    if not yes:
        click.confirm("Send them again?", abort=True)
    with open_transaction() as connection:
        recovered = queries.recover(connection, provider_id, first, last)
        after = {"since": first, "until": last, "count": recovered}
        note(connection, "callback.recover", provider_id, after, before={"parked": count})
    click.echo(f"{recovered} callbacks are due again")


def _moment(option: str, text: str) -> datetime:
    from shared.times import parse_time

    try:
        return parse_time(text)
    except ValueError as error:
        raise Problem(f"{option}: {error}", WRONG_USE) from None
