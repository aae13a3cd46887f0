"""``ringpost providers``: who may send."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
from deploy.commands.provider_rules import countries, limits, quiet_hours

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from shared.settings import Settings

_PAGE = 5000
#: Of a provider that never called.
_NO_CALLS: dict[str, Any] = {"calls_today": 0, "daily_cap": None, "cap_share": None}


@click.group()
def providers() -> None:
    """Who may send, and what: create, list, limit, cap, disable."""


for command in (countries, limits, quiet_hours):
    providers.add_command(command)


@providers.command()
@click.argument("name")
@click.option("--callback-url", metavar="URL", help="Where the outcome of each message is POSTed to.")
@click.option(
    "--countries", metavar="SG,US", help="Countries that may be called; * for all. Default: ALLOWED_COUNTRIES."
)
@json_option
def create(name: str, callback_url: str | None, countries: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Create a provider with a key, and print its secrets this once."""
    settings = load_settings()
    if not name.strip():
        raise Problem("NAME: must not be empty", WRONG_USE)
    allowed = parse_countries(countries)
    check_url(callback_url, settings)
    with open_transaction(settings) as connection:
        made = create_provider(connection, settings, name, allowed, callback_url)
    if as_json:
        print_json({member: made[member] for member in ("provider_id", "key_id", "secret", "callback_secret")})
        return
    click.echo(f"Provider {name} is created. The secrets are not shown again.")
    print_secrets(made)


def parse_countries(text: str | None) -> list[str] | None:
    """ISO codes out of ``SG,US``; None leaves it to the setting."""
    if text is None:
        return None
    import phonenumbers

    codes = [word.strip().upper() for word in text.split(",") if word.strip()]
    wrong = [code for code in codes if code != "*" and code not in phonenumbers.SUPPORTED_REGIONS]
    if wrong or not codes:
        text = f"countries: {', '.join(wrong) or 'nothing'} is no ISO 3166 code such as SG, and not *"
        raise Problem(text, WRONG_USE)
    return codes


def check_url(url: str | None, settings: Settings) -> None:
    """Raise Problem if callbacks may not go there."""
    if url is None:
        return
    from shared.http.addresses import check_callback_url

    try:
        check_callback_url(url, settings.callback_networks)
    except ValueError as error:
        raise Problem(f"--callback-url: {error}", WRONG_USE) from None


def create_provider(
    connection: Connection,
    settings: Settings,
    name: str,
    countries: Sequence[str] | None,
    callback_url: str | None,
) -> dict[str, str | None]:
    """
    Store a provider with its first key and endpoint.

    Returns:
        ``provider_id``, ``key_id``, ``secret``, ``endpoint_id`` and ``callback_secret``; the last two are None
        without a URL.

    Raises:
        Problem: The name is taken.
    """
    from shared import callback
    from shared.db.queries import providers as queries
    from shared.ids import new_id
    from shared.sealing import Sealer

    if queries.find_provider(connection, name) is not None:
        raise Problem(f"NAME: there is a provider {name!r} already")
    provider_id = new_id("prov")
    queries.create_provider(connection, provider_id, name, countries)
    key_id, secret = create_key(connection, provider_id)
    endpoint_id = callback_secret = None
    if callback_url is not None:
        endpoint_id = new_id("ep")
        callback_secret = callback.new_secret(secrets.token_bytes(callback.SECRET_BYTES))
        sealer = Sealer(*settings.data_keys)
        sealed = sealer.seal(callback_secret.encode(), row=endpoint_id)
        queries.create_endpoint(connection, endpoint_id, provider_id, url=callback_url, sealed_secret=sealed)
    note(connection, "provider.create", provider_id, {"name": name, "countries": countries, "url": callback_url})
    return {
        "provider_id": provider_id,
        "key_id": key_id,
        "secret": secret,
        "endpoint_id": endpoint_id,
        "callback_secret": callback_secret,
    }


def create_key(connection: Connection, provider_id: str) -> tuple[str, str]:
    """Store a new key and return its id and its secret, of which only a hash is kept."""
    from shared.db.queries import providers as queries
    from shared.keys import make
    from shared.lifecycle import Mode

    made = make(Mode.LIVE)
    queries.create_key(connection, made.key_id, provider_id, made.secret_hash)
    return made.key_id, made.secret


def print_secrets(made: dict[str, str | None]) -> None:
    """Print ids and secrets, a line each."""
    for label, name in (
        ("provider id", "provider_id"),
        ("key id", "key_id"),
        ("secret", "secret"),
        ("callback secret", "callback_secret"),
    ):
        if made.get(name) is not None:
            click.echo(f"  {label:<16}{made[name]}")


def find_provider(connection: Connection, name_or_id: str) -> str:
    """A provider's id; raises Problem when there is none of that name or id."""
    from shared.db.queries import providers as queries

    provider_id = queries.find_provider(connection, name_or_id)
    if provider_id is None:
        raise Problem(f"there is no provider {name_or_id!r}: see `ringpost providers list`")
    return provider_id


@providers.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List the providers with their live keys and callback URLs."""
    from shared.db.queries import providers as queries

    settings = load_settings()
    with open_transaction(settings) as connection:
        counted = _counted(connection, settings)
        rows = [row | counted.get(row["provider_id"], _NO_CALLS) for row in queries.list_providers(connection)]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Providers",
        ["provider", "name", "countries", "keys", "callback URLs", "created", "disabled", "calls today"],
        [
            (
                row["provider_id"],
                row["name"],
                "default" if row["countries"] is None else row["countries"],
                row["keys"],
                row["endpoints"],
                row["created_at"],
                row["disabled_at"],
                _called(row),
            )
            for row in rows
        ],
    )


def _counted(connection: Connection, settings: Settings) -> dict[str, dict[str, Any]]:
    """By provider: calls made today (UTC), how many there may be, and their share."""
    from shared.db.queries import daily_calls
    from shared.services import pace_of

    rows = daily_calls.counted(connection, daily_calls.caps_of(pace_of(settings)), limit=1_000_000)
    return {
        row["provider_id"]: {"calls_today": row["calls"], "daily_cap": row["cap"], "cap_share": row["share"]}
        for row in rows
    }


def _called(row: dict[str, Any]) -> str:
    """Such as ``80,123 of 100,000: 80 %``; what is near its cap or beyond bears a mark."""
    from shared.alarms import CAP_LIMIT

    if row["daily_cap"] is None:
        return f"{row['calls_today']:,}, no cap"
    share = row["cap_share"] if row["daily_cap"] else 1.0
    return f"{'! ' if share >= CAP_LIMIT else ''}{row['calls_today']:,} of {row['daily_cap']:,}: {share:.0%}"


@providers.command()
@click.argument("name_or_id")
@click.argument("calls", metavar="CALLS|none|default")
def cap(name_or_id: str, calls: str) -> None:
    """Let a provider make at most CALLS a day (UTC), redials too; or any number, or the setting's."""
    from shared.db.queries import daily_calls

    if calls not in ("none", "default") and not re.fullmatch(r"[0-9]{1,15}", calls):
        raise Problem("CALLS: must be a number, none or default", WRONG_USE)
    settings = load_settings()
    own = int(calls) if calls.isdigit() else None
    with open_transaction(settings) as connection:
        provider_id = find_provider(connection, name_or_id)
        before = _counted(connection, settings).get(provider_id, _NO_CALLS)["daily_cap"]
        daily_calls.set_cap(connection, provider_id, own, is_uncapped=calls == "none")
        after = _counted(connection, settings)[provider_id]["daily_cap"]
        while daily_calls.release(connection, _PAGE, provider_id) == _PAGE:
            pass  # what waits for midnight may be let go; what still meets the cap is put off again
        note(connection, "provider.cap", provider_id, {"daily_cap": after}, before={"daily_cap": before})
    click.echo(f"provider {name_or_id} may make {'any number of' if after is None else f'{after:,}'} calls a day")


@providers.command()
@click.argument("name_or_id")
def disable(name_or_id: str) -> None:
    """Refuse a provider's keys from now on; what it sent goes on."""
    from shared.db.queries import providers as queries

    with open_transaction() as connection:
        provider_id = find_provider(connection, name_or_id)
        if not queries.disable_provider(connection, provider_id):
            raise Problem(f"provider {name_or_id} is disabled already")
        note(connection, "provider.disable", provider_id, {"disabled": True}, before={"disabled": False})
    click.echo(f"provider {provider_id} is disabled")
