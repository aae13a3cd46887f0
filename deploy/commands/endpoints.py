"""``ringpost endpoints``: where providers are called back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from deploy.commands.console import Problem, json_option, load_settings, note, open_transaction, print_json, print_table
from deploy.commands.providers import find_provider

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from shared.db.queries.endpoints import Rotated


@click.group()
def endpoints() -> None:
    """Where providers are called back: list, rotate-secret, disable, enable."""


@endpoints.command("list")
@click.option("--provider", metavar="P", help="Of one provider, by name or id.")
@json_option
def list_(provider: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the callback endpoints and how they are."""
    from shared.db.queries import endpoints as queries

    with open_transaction() as connection:
        rows = queries.listed(connection, None if provider is None else find_provider(connection, provider))
    if as_json:
        print_json(rows)
        return
    columns = ("endpoint_id", "provider", "url", "failing_since", "disabled_at", "disabled_reason", "old_secret_until")
    print_table(
        "Endpoints",
        ["endpoint", "provider", "URL", "failing since", "disabled", "why", "old secret until"],
        [[row[name] for name in columns] for row in rows],
    )


@endpoints.command("rotate-secret")
@click.argument("endpoint_id")
@click.option("--at-once", is_flag=True, help="The secret before signs nothing more: somebody else knows it.")
@json_option
def rotate_secret(endpoint_id: str, at_once: bool, as_json: bool) -> None:  # noqa: FBT001
    """
    Give an endpoint a new secret, and print it this once.

    For 24 hours callbacks carry two signatures, the new secret's first; then the old one is erased. Rotated again
    within that time, the secret of before the first rotation stays the old one.
    """
    settings = load_settings()
    with open_transaction(settings) as connection:
        secret, rotated = _rotated(connection, settings.ringpost_data_key.get_secret_value(), endpoint_id, at_once)
    made = {
        "endpoint_id": rotated.endpoint_id,
        "callback_secret": secret,
        "old_secret_until": rotated.old_secret_until,
    }
    if as_json:
        print_json(made)
        return
    until = "no more" if rotated.old_secret_until is None else f"until {rotated.old_secret_until:%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"endpoint {endpoint_id} has a new secret, which is not shown again; the old one counts {until}")
    click.echo(f"  callback secret {secret}")


def _rotated(connection: Connection, data_key: str, endpoint_id: str, at_once: bool) -> tuple[str, Rotated]:  # noqa: FBT001
    from shared import callback
    from shared.db.queries import endpoints as queries
    from shared.sealing import Sealer

    secret = callback.new_secret(secrets.token_bytes(callback.SECRET_BYTES))
    sealed = Sealer(data_key).seal(secret.encode(), row=endpoint_id)
    rotated = queries.rotate_secret(connection, endpoint_id, sealed, provider_id=None, at_once=at_once)
    if rotated is None:
        raise _missing(endpoint_id)
    states = rotated.states
    note(connection, "endpoint.rotate_secret", endpoint_id, states["after"], before=states["before"])
    return secret, rotated


@endpoints.command()
@click.argument("endpoint_id")
def disable(endpoint_id: str) -> None:
    """Call back there no more: what waits is parked, and so is what comes."""
    from shared.db.queries import endpoints as queries

    with open_transaction() as connection:
        parked = queries.disable(connection, endpoint_id, "disabled by an operator")
        if parked is None:
            raise _unchanged(connection, endpoint_id, "is disabled already")
        note(
            connection,
            "endpoint.disable",
            endpoint_id,
            {"disabled": True, "parked": parked},
            before={"disabled": False},
        )
    click.echo(f"endpoint {endpoint_id} is disabled; {parked} callbacks are parked")


@endpoints.command()
@click.argument("endpoint_id")
def enable(endpoint_id: str) -> None:
    """Call back there again, of what happens from now on; what is parked waits for `ringpost callbacks recover`."""
    from shared.db.queries import endpoints as queries

    with open_transaction() as connection:
        if not queries.enable(connection, endpoint_id):
            raise _unchanged(connection, endpoint_id, "is not disabled")
        note(connection, "endpoint.enable", endpoint_id, {"disabled": False}, before={"disabled": True})
    click.echo(f"endpoint {endpoint_id} is enabled; what was parked: `ringpost callbacks recover`")


def _unchanged(connection: Connection, endpoint_id: str, why: str) -> Problem:
    from shared.db.queries import endpoints as queries

    return (
        Problem(f"endpoint {endpoint_id} {why}") if queries.exists(connection, endpoint_id) else _missing(endpoint_id)
    )


def _missing(endpoint_id: str) -> Problem:
    return Problem(f"there is no endpoint {endpoint_id!r}: see `ringpost endpoints list`")
