"""``ringpost keys``: providers' API keys."""

from __future__ import annotations

import click

from deploy.commands.console import Problem, json_option, note, open_transaction, print_json
from deploy.commands.data_keys import new_data, rotate_data
from deploy.commands.providers import create_key, find_provider, print_secrets


@click.group()
def keys() -> None:
    """Providers' API keys: create, revoke; the data key: new-data, rotate-data."""


keys.add_command(new_data)
keys.add_command(rotate_data)


@keys.command()
@click.argument("provider")
@json_option
def create(provider: str, as_json: bool) -> None:  # noqa: FBT001
    """Create one more key for a provider (name or id), and print its secret this once."""
    with open_transaction() as connection:
        provider_id = find_provider(connection, provider)
        key_id, secret = create_key(connection, provider_id)
        note(connection, "key.create", key_id, {"provider_id": provider_id})
    made: dict[str, str | None] = {"provider_id": provider_id, "key_id": key_id, "secret": secret}
    if as_json:
        print_json(made)
        return
    click.echo(f"A key for {provider} is created. The secret is not shown again.")
    print_secrets(made)


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Refuse a key from now on."""
    from shared.db.queries import providers as queries

    with open_transaction() as connection:
        if not queries.revoke_key(connection, key_id):
            raise Problem(f"there is no live key {key_id!r}")
        note(connection, "key.revoke", key_id)
    click.echo(f"key {key_id} is revoked")
