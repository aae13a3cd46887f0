"""``ringpost parked``: what was set aside, for a person to decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from deploy.commands.console import (
    Problem,
    json_option,
    note,
    open_transaction,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LIMIT = 1000


@click.group()
def parked() -> None:
    """
    What was set aside: list, resend, discard.

    That is callbacks whose tries are used up, webhooks that failed their worker too often, and webhooks of call
    sessions that nobody knows yet.
    """


@parked.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, _LIMIT), help="Of each kind.")
@json_option
def list_(limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List them, the oldest first."""
    from shared.db import reports

    with open_transaction() as connection:
        found = {
            "callbacks": reports.parked_callbacks(connection, limit),
            "events": reports.parked_events(connection, limit),
        }
    if as_json:
        print_json(found)
        return
    print_table(
        "Parked callbacks",
        ["callback", "provider", "messageId", "type", "URL", "attempts", "last error", "parked"],
        [
            [row[name] for name in (
                "callback_id", "provider", "message_id", "type", "url", "attempts", "last_error", "parked_at"
            )]
            for row in found["callbacks"]
        ],
    )  # fmt: skip
    click.echo()
    print_table(
        "Webhooks set aside",
        ["id", "state", "call session", "attempts", "received", "tried next"],
        [
            [row[name] for name in ("inbox_id", "state", "session_id", "attempts", "received_at", "due_at")]
            for row in found["events"]
        ],
    )


@parked.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def resend(ids: Sequence[str]) -> None:
    """Try again now: callbacks by their id (cb_…), webhooks by their number."""
    from shared.db.queries import callbacks, operations

    _each("resend", ids, callbacks.resend, operations.retry_event)


@parked.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(ids: Sequence[str], yes: bool) -> None:  # noqa: FBT001
    """Give them up for good; a callback's event stays in the provider's feed."""
    from shared.db.queries import operations

    if not yes:
        click.confirm(f"Give {len(ids)} up for good?", abort=True)
    _each("discard", ids, operations.discard_callback, operations.discard_event)


def _each(
    action: str,
    ids: Sequence[str],
    change_callback: Callable[[Connection, str], bool],
    change_event: Callable[[Connection, int], bool],
) -> None:
    """Change each, all in one transaction; one that does not exist changes nothing at all."""
    with open_transaction() as connection:
        for id_ in ids:
            is_event = id_.isdecimal()
            done: Any = change_event(connection, int(id_)) if is_event else change_callback(connection, id_)
            if not done:
                raise Problem(f"{id_} is not set aside; nothing is changed")
            note(connection, f"{'event' if is_event else 'callback'}.{action}", id_)
    click.echo(f"{action}: {len(ids)}")
