"""``ringpost webhooks``: Ringpost's addresses, as 8x8 knows them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    WRONG_USE,
    Problem,
    json_option,
    load_settings,
    note,
    open_transaction,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.settings import Settings
    from shared.voice_api.client import VoiceApi

#: What 8x8 reports of: summaries, which carry every outcome, and key presses.
TYPES: Final = ("VSS", "VCA")
_SECRET_SEGMENT: Final = re.compile(r"(/api/webhooks/)[^/]+(?=/)")


@click.group()
def webhooks() -> None:
    """Ringpost's addresses at 8x8: register, show, remove."""


def url_of(base_url: str, type_: str, settings: Settings) -> str:
    """Where webhooks of a type come in. It may hold a secret: see :func:`shown_url`."""
    secret = settings.webhook_path_secret
    segment = "" if secret is None else f"{secret.get_secret_value()}/"
    return f"{base_url.rstrip('/')}/api/webhooks/{segment}{type_.lower()}"


def shown_url(url: str) -> str:
    """A webhook's address as it may be printed: no secret of it, this one or an older."""
    return _SECRET_SEGMENT.sub(r"\1***", url)


def _voice_api(settings: Settings) -> VoiceApi:
    from shared.services import build_voice_api

    return build_voice_api(settings)


@webhooks.command()
@click.option("--base-url", metavar="URL", help="Public address of the ingress; default: WEBHOOK_BASE_URL.")
@click.option("--replace", is_flag=True, help="Also what looks right: after WEBHOOK_AUTH_TOKEN has changed.")
def register(base_url: str | None, replace: bool) -> None:  # noqa: FBT001
    """
    Point 8x8's webhooks at this service.

    What looks right already stays; 8x8 does not tell a registration's secret. Anything else is replaced, and
    8x8's events of the moment between are lost.
    """
    settings = load_settings()
    base = base_url or settings.webhook_base_url
    if not base or not base.startswith(("http://", "https://")):
        raise Problem("--base-url or WEBHOOK_BASE_URL: needs this service's public http(s) address", WRONG_USE)
    api = _voice_api(settings)
    before = _shown(api)
    urls = {type_: url_of(base, type_, settings) for type_ in TYPES}
    right = set() if replace else _right_types(api, urls)
    after = dict(before)
    try:
        for type_ in TYPES:
            if type_ not in right:
                api.register_webhook(type_, urls[type_], settings.webhook_auth_token.get_secret_value())
                after[type_] = shown_url(urls[type_])
    finally:  # one may be registered when the other fails
        _note(settings, "webhook.register", before, after)
    shown = _right_types(api, urls)
    for type_ in TYPES:
        if type_ not in shown:
            raise Problem(f"8x8 took the {type_} webhook but does not show it")
        click.echo(f"{type_} -> {shown_url(urls[type_])}{' (was registered already)' if type_ in right else ''}")


def _shown(api: VoiceApi) -> dict[str, str]:
    """What 8x8 has registered, by type, without a secret part of an address."""
    return {webhook.type: shown_url(webhook.url) for webhook in api.webhooks()}


def _note(settings: Settings, action: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """8x8 has changed already, so that a database that cannot be reached only costs the note."""
    from shared.db.database import is_away

    try:
        with open_transaction(settings) as connection:
            note(connection, action, "8x8", after, before=before)
    except Exception as error:
        if not is_away(error):
            raise
        click.echo("PostgreSQL cannot be reached: this is not noted in the audit log", err=True)


def _right_types(api: VoiceApi, urls: Mapping[str, str]) -> set[str]:
    """The types that 8x8 would send to the right address with some secret."""
    return {
        webhook.type
        for webhook in api.webhooks()
        if webhook.type in TYPES
        and webhook.url == urls[webhook.type]
        and webhook.is_enabled
        and webhook.has_auth_header
    }


@webhooks.command()
@json_option
def show(as_json: bool) -> None:  # noqa: FBT001
    """Show what 8x8 has registered."""
    found = _voice_api(load_settings()).webhooks()
    rows = [(webhook.type, shown_url(webhook.url), webhook.is_enabled, webhook.has_auth_header) for webhook in found]
    if as_json:
        print_json([dict(zip(("type", "url", "enabled", "has_secret"), row, strict=True)) for row in rows])
        return
    print_table("Webhooks at 8x8", ["type", "URL", "enabled", "secret"], rows)


@webhooks.command()
@click.argument("types", metavar="[VSS|VCA]...", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def remove(context: click.Context, types: tuple[str, ...], yes: bool) -> None:  # noqa: FBT001
    """Remove registrations at 8x8, both by default. Without VSS no outcome is ever reported."""
    settings = load_settings()
    api = _voice_api(settings)
    before = _shown(api)
    wanted = [name.upper() for name in types] or list(TYPES)
    there = [webhook.type for webhook in api.webhooks() if webhook.type in wanted]
    if not there:
        click.echo("nothing is registered")
        context.exit(BAD_NEWS if types else 0)
    if not yes:
        click.confirm(f"Remove {', '.join(there)} at 8x8?", abort=True)
    after = dict(before)
    try:
        for type_ in there:
            api.remove_webhook(type_)
            after.pop(type_, None)
            click.echo(f"{type_} is removed")
    finally:
        _note(settings, "webhook.remove", before, after)
