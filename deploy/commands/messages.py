"""``ringpost messages``: find messages, and look into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from deploy.commands.console import (
    WRONG_USE,
    Problem,
    json_option,
    open_transaction,
    print_json,
    print_table,
    shown,
)

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
    """Find messages, and look into one: list, show."""


@messages.command("list")
@click.option("--provider", metavar="P", help="Of one provider, by name or id.")
@click.option("--status", metavar="S,S", help="Such as queued,dialing.")
@click.option("--type", metavar="T,T", help="otp, alert, notification.")
@click.option("--mode", metavar="M", help="live or test.")
@click.option("--country", metavar="SG,US")
@click.option("--last4", metavar="NNNN", help="The last four digits of the number.")
@click.option("--since", metavar="T", help="Accepted since then, such as 2026-10-05T09:00:00Z.")
@click.option("--until", metavar="T", help="Accepted before.")
@click.option("--limit", metavar="N", default="50", show_default=True, help="200 at most.")
@json_option
def list_(as_json: bool, provider: str | None, **asked: str | None) -> None:  # noqa: FBT001
    """List the newest messages of all providers; of what does not fit, 5,000 are passed over at most."""
    from deploy.commands.providers import find_provider
    from ingress import problems
    from ingress.message_list import read_query
    from shared.db import story
    from shared.db.queries import message_list

    try:
        query = read_query({name: [value] for name, value in asked.items() if value}, lambda _: None)
    except problems.Problem as problem:
        raise Problem("; ".join(f"--{one.member}: {one.message}" for one in problem.errors), WRONG_USE) from None
    with open_transaction() as connection:
        if provider is None:
            page = message_list.page_of_all(connection, query.wanted, after=None, limit=query.limit)
        else:
            id_ = find_provider(connection, provider)
            page = message_list.page(connection, id_, query.wanted, after=None, limit=query.limit)
    found = [story.head(row) for row in page.rows]
    if as_json:
        print_json(found)
        return
    columns = ["id", "messageId", "type", "status", "reason", "to", "country", "createdAt"]
    print_table("Messages", columns, [[one[name] for name in columns] for one in found])
    if page.after is not None:
        click.echo("there are older ones: narrow the span with --until")


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
