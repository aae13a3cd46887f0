"""``ringpost keys``: providers' API keys."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import WRONG_USE, Problem, actor, json_option, open_transaction, print_json, print_table
from deploy.commands.data_keys import new_data, rotate_data
from deploy.commands.providers import find_provider, print_secrets
from shared.lifecycle import Mode

if TYPE_CHECKING:
    from shared.db.queries.keys import Terms

_UNITS_S: Final = {"d": 86_400, "h": 3600, "m": 60}
_COLUMNS: Final = ("key_id", "provider", "mode", "name", "created_at", "expires_at", "last_used_at", "state")


@click.group()
def keys() -> None:
    """Providers' API keys: create, list, revoke; the data key: new-data, rotate-data."""


keys.add_command(new_data)
keys.add_command(rotate_data)


@keys.command()
@click.argument("provider")
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), default=Mode.LIVE.value, show_default=True,
              help="live rings phones; test pretends to.")  # fmt: skip
@click.option("--expires", metavar="90d|TIME", help="After so many days (d), hours (h), minutes (m), or at a time.")
@click.option("--name", metavar="TEXT", help="What lists call it.")
@json_option
def create(provider: str, mode: str, expires: str | None, name: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Create one more key for a provider (name or id), and print its secret this once."""
    from shared.db.queries import keys as queries
    from shared.keys import make

    made = make(Mode(mode))
    with open_transaction() as connection:
        provider_id = find_provider(connection, provider)
        terms = _terms(provider_id, Mode(mode), name, expires)
        try:
            row = queries.create(connection, made, terms, actor=actor())
        except queries.TooManyKeys as error:
            raise Problem(f"PROVIDER: {error}") from None
        except queries.AlreadyOver:
            raise Problem("--expires: must lie in the future", WRONG_USE) from None
    told: dict[str, str | None] = {"provider_id": provider_id, "key_id": made.key_id, "secret": made.secret}
    if as_json:
        print_json({**told, **{member: row[member] for member in ("mode", "name", "expires_at")}})
        return
    click.echo(f"A {mode} key for {provider} is created. The secret is not shown again.")
    print_secrets(told)


def _terms(provider_id: str, mode: Mode, name: str | None, expires: str | None) -> Terms:
    from shared.db.queries.keys import Terms
    from shared.keys import check_name

    try:
        checked = None if name is None else check_name(name)
    except ValueError as error:
        raise Problem(f"--name: {error}", WRONG_USE) from None
    lasts_s, expires_at = _end(expires)
    return Terms(provider_id, mode, checked, expires_at, lasts_s)


def _end(expires: str | None) -> tuple[float | None, datetime | None]:
    """Seconds from now, or the moment."""
    from shared.times import parse_time

    if expires is None:
        return None, None
    if found := re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", expires):
        return float(found[1]) * _UNITS_S[found[2]], None
    try:
        return None, parse_time(expires)
    except ValueError as error:
        raise Problem(f"--expires: {error}, or a time from now such as 90d, 12h, 30m", WRONG_USE) from None


@keys.command("list")
@click.argument("provider", required=False)
@json_option
def list_(provider: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the keys of PROVIDER (name or id) or of all: mode, name, times, last use, state; never a secret."""
    from shared.db.queries import keys as queries

    with open_transaction() as connection:
        rows = queries.listed(connection, None if provider is None else find_provider(connection, provider))
    if as_json:
        print_json([dict(row) for row in rows])
        return
    print_table(
        "Keys",
        ["key", "provider", "mode", "name", "created", "expires", "last used", "state"],
        [[row[column] for column in _COLUMNS] for row in rows],
    )


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Refuse a key from now on."""
    from shared.db.queries import keys as queries

    with open_transaction() as connection:
        if not queries.revoke(connection, key_id, actor=actor()):
            raise Problem(f"there is no live key {key_id!r}")
    click.echo(f"key {key_id} is revoked: it is refused within seconds")
