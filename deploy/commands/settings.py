"""``ringpost settings``: what this process would run with, and where each value comes from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import json_option, print_json, print_table

if TYPE_CHECKING:
    from shared.settings import Settings

_MASK: Final = "***"


@click.command()
@json_option
def settings(as_json: bool) -> None:  # noqa: FBT001
    """Show every setting, secrets masked, and where it comes from."""
    from shared.settings import Settings

    loaded = Settings.load()
    rows = [(name.upper(), shown(loaded, name), source(loaded, name)) for name in Settings.model_fields]
    if as_json:
        print_json([{"name": name, "value": value, "source": origin} for name, value, origin in rows])
        return
    print_table("settings", ["name", "value", "from"], rows)


def shown(loaded: Settings, name: str) -> Any:
    """A setting's value as anyone may read it: no secret, and no password in a URL."""
    from pydantic import SecretStr

    from shared.secret_values import without_password

    value = getattr(loaded, name)
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, str) and "://" in value:
        return without_password(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def source(loaded: Settings, name: str) -> str:
    """Where a setting was found, in the order in which it is looked for."""
    variable = name.upper()
    if os.environ.get(variable):
        return "environment"
    if path := os.environ.get(f"{variable}_FILE"):
        return path
    return ".env" if name in loaded.model_fields_set else "default"
