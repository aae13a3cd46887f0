"""``ringpost messages``: look into one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from deploy.commands.console import Problem, json_option, open_transaction, print_json, print_table, shown

_HEAD: Final = [
    "messageId",
    "providerId",
    "type",
    "to",
    "country",
    "from",
    "voice",
    "repetition",
    "createdAt",
    "scheduledAt",
    "expiresAt",
    "finishedAt",
    "sessionId",
    "warnings",
    "metadata",
]
_TABLES: Final = {
    "attempts": "number startedAt outcome reason statusCode sessionId answeredAt keyPressed sessionStatus errorCode"
    " endedAt durationSeconds heard",
    "events": "sequence at type status reason",
    "callbacks": "id type url state attempts nextAt finishedAt",
}


@click.group()
def messages() -> None:
    """Look into one message."""


@messages.command()
@click.argument("message_id", metavar="ID")
@json_option
def show(message_id: str, as_json: bool) -> None:  # noqa: FBT001
    """
    Show a message's way: attempts, events, callbacks, deliveries.

    ID is ours (msg_…) or the provider's messageId. The text is never shown, and the number only masked.
    """
    from shared.db import story

    with open_transaction() as connection:
        found = story.of_anyone(connection, message_id)
    if not found:
        raise Problem(f"there is no message {message_id!r}")
    if len(found) > 1:
        ids = ", ".join(f"{one['id']} (of {one['providerId']})" for one in found)
        raise Problem(f"several providers sent a message {message_id!r}; name one: {ids}")
    if as_json:
        print_json(found[0])
    else:
        _print(found[0])


def _print(message: Mapping[str, Any]) -> None:
    from shared.explain import explain

    click.echo(f"{message['id']}  {message['status']}: {explain(message)['sentence']}")
    for name in _HEAD:
        if message.get(name):
            click.echo(f"  {name:<14}{shown(message[name])}")
    for part, columns in _TABLES.items():
        click.echo()
        _print_part(part.capitalize(), columns.split(), message[part])
    for callback in message["callbacks"]:
        click.echo()
        deliveries = callback["deliveries"]
        _print_part(f"Deliveries of {callback['id']}", [*(deliveries[0] if deliveries else ())], deliveries)


def _print_part(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A table without the columns that are empty in every row."""
    used = [name for name in columns if any(row.get(name) is not None for row in rows)]
    print_table(title, used, [[row.get(name) for name in used] for row in rows])
