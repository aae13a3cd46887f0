"""``ringpost suppressions``: numbers that are not called. They come by standard input, as arguments are seen by all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from deploy.commands.console import (
    WRONG_USE,
    Problem,
    json_option,
    load_settings,
    note,
    open_transaction,
    print_json,
    print_table,
)
from deploy.commands.providers import find_provider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from shared.phone import PhoneNumber
    from shared.settings import Settings

_MOST = 10_000
_provider = click.option("--provider", metavar="NAME_OR_ID", help="Of this provider.")
_all = click.option("--all", "is_all", is_flag=True, help="Of every provider.")


@click.group()
def suppressions() -> None:
    """Numbers that are not called: add, list, remove."""


@suppressions.command()
@_provider
@_all
@click.option("--reason", default="asked by an operator", show_default=True, help="Without digits.")
def add(provider: str | None, is_all: bool, reason: str) -> None:  # noqa: FBT001
    """Call the numbers on standard input, one a line, no more; what waits for them ends blocked."""
    from shared.db.queries import suppressions as queries

    if not reason or any(letter.isdecimal() for letter in reason):
        raise Problem("--reason: must be a text without digits, as they may be a phone number's", WRONG_USE)

    def one(connection: Connection, owner: str, key: bytes, number: PhoneNumber) -> bool:
        _, is_new = queries.add(connection, owner, key, masked=number.masked, reason=reason)
        if is_new:
            note(connection, "suppression.add", owner, {"number": number.masked, "reason": reason})
        return is_new

    count = _each(load_settings(), provider, one, is_all=is_all)
    click.echo(f"{count} numbers added")


@suppressions.command()
@_provider
@_all
def remove(provider: str | None, is_all: bool) -> None:  # noqa: FBT001
    """Call the numbers on standard input, one a line, again."""
    from shared.db.queries import suppressions as queries

    def one(connection: Connection, owner: str, key: bytes, number: PhoneNumber) -> bool:
        entry = queries.remove(connection, owner, key)
        if entry is None:
            return False
        note(connection, "suppression.remove", owner, before={"number": number.masked, "reason": entry.reason})
        return True

    count = _each(load_settings(), provider, one, is_all=is_all)
    if not count:
        raise Problem("none of these numbers is on that list: see `ringpost suppressions list`")
    click.echo(f"{count} numbers removed")


@suppressions.command("list")
@_provider
@_all
@json_option
def list_(provider: str | None, is_all: bool, as_json: bool) -> None:  # noqa: FBT001
    """List the entries, masked: of one provider, of every provider (--all), or, without either, each of them."""
    from shared.db.queries import suppressions as queries

    with open_transaction() as connection:
        owner = _owner(connection, provider, is_all=is_all) if provider or is_all else None
        rows = [dict(row._asdict()) for row in queries.every(connection, owner, _MOST)]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Numbers that are not called",
        ["number", "provider", "reason", "since"],
        [
            (row["destination_masked"], row["provider"] or "every provider", row["reason"], row["created_at"])
            for row in rows
        ],
    )


def _each(
    settings: Settings,
    provider: str | None,
    change: Callable[[Connection, str, bytes, PhoneNumber], bool],
    *,
    is_all: bool,
) -> int:
    """Change one list by each number of the input, all or none; how many made a difference."""
    from shared.sealing import Sealer

    numbers = _numbers(sys.stdin.read().splitlines())
    sealer = Sealer(*settings.data_keys)
    with open_transaction(settings) as connection:
        owner = _owner(connection, provider, is_all=is_all)
        return sum(change(connection, owner, sealer.destination_key(one.e164), one) for one in numbers)


def _owner(connection: Connection, provider: str | None, *, is_all: bool) -> str:
    from shared.db.queries import suppressions as queries

    if (provider is None) == (not is_all):
        raise Problem("name one list: --provider NAME_OR_ID, or --all", WRONG_USE)
    return queries.ALL if provider is None else find_provider(connection, provider)


def _numbers(lines: Sequence[str]) -> list[PhoneNumber]:
    from shared import phone

    found = []
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(phone.read(line.strip()))
        except ValueError as error:
            raise Problem(f"line {place} {error}", WRONG_USE) from None
    if not found:
        raise Problem("no number on standard input: write one a line", WRONG_USE)
    return found
