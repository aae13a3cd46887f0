"""``ringpost erase``: forget a phone number."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    WRONG_USE,
    Problem,
    json_option,
    load_settings,
    note,
    open_database,
    print_json,
)
from deploy.commands.providers import find_provider
from deploy.commands.spooled import lines_of

if TYPE_CHECKING:
    from shared.db.database import Database
    from shared.sealing import Sealer

_PAGE: Final = 500
_TOLD: Final = (
    ("canceled", "messages canceled that waited"),
    ("messages", "messages: masked digits, keyed hash, metadata"),
    ("attempts", "dial attempts: keyed hash, pressed keys, 8x8's words"),
    ("legs", "call legs"),
    ("events", "pressed keys in the feed"),
    ("replies", "answers of endpoints"),
    ("webhooks", "kept webhooks"),
)


@click.command()
@click.option("--provider", metavar="NAME", help="Only what this provider (name or id) sent; default: everybody.")
@json_option
@click.pass_context
def erase(context: click.Context, provider: str | None, as_json: bool) -> None:  # noqa: FBT001
    """
    Erase what is stored about a phone number; it is read from standard input.

    On the command line any user of the machine could read it. Messages that wait are canceled, with a callback as
    usual; of all, only what became of them stays. A wish not to be called stays, as a keyed hash: it outlives erasure.
    Exit code 1 while a call or a webhook of it is under way: run it again then.
    """
    number = _read_number()
    settings = load_settings()
    from shared.db.queries import erase as queries
    from shared.sealing import Sealer

    sealer = Sealer(*settings.data_keys)
    with open_database(settings) as database:
        with database.transaction() as connection:
            provider_id = None if provider is None else find_provider(connection, provider)
            done = queries.erase(connection, sealer.destination_key(number), provider_id)
            counts = {"canceled": done.canceled, **done.counts}
            note(connection, "number.erase", provider_id or "everybody", counts, before={"erased": False})
        webhooks, waiting = (0, 0) if provider_id else _erase_webhooks(database, sealer, number)
        counts["webhooks"] += webhooks
    waiting += sum(1 for _ in lines_of(settings.spool_dir))  # whoever they are about: they are stored later
    left = {"under_way": done.under_way, "webhooks_waiting": waiting, "suppressions_kept": done.suppressions}
    if as_json:
        print_json(counts | left)
    else:
        _tell(counts, left)
    context.exit(BAD_NEWS if done.under_way or waiting else 0)


def _read_number() -> str:
    from shared import phone

    told = click.prompt("Phone number", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    try:
        return phone.parse_destination(told.strip(), ("*",)).e164
    except ValueError as error:
        raise Problem(f"the number on standard input: {error}", WRONG_USE) from None


def _erase_webhooks(database: Database, sealer: Sealer, number: str) -> tuple[int, int]:
    """Those that name the number though no message was found for them."""
    from shared.db.queries import erase as queries
    from shared.sealing import Unsealable

    digits = number.lstrip("+").encode()

    def names(body: bytes, row: str) -> bool:
        try:
            return digits in sealer.unseal(body, row=row)
        except Unsealable:
            return False

    after: int | None = 0
    gone = waiting = 0
    while after is not None:
        page: Any = partial(queries.erase_webhooks, names=names, after=after, page=_PAGE)
        after, deleted, left = database.run(page)
        gone, waiting = gone + deleted, waiting + left
    return gone, waiting


def _tell(counts: dict[str, int], left: dict[str, int]) -> None:
    for name, what in _TOLD:
        click.echo(f"{counts[name]:>8}  {what}")
    if left["suppressions_kept"]:
        click.echo(f"{left['suppressions_kept']:>8}  wishes not to be called stay, as a keyed hash")
    if left["under_way"]:
        click.echo(f"{left['under_way']:>8}  calls are under way: run this again when they have ended")
    if left["webhooks_waiting"]:
        click.echo(f"{left['webhooks_waiting']:>8}  webhooks wait to be reconciled: run this again")
