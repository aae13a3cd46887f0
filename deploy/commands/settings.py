"""``ringpost settings``: what this process would run with, and where each value comes from."""

from __future__ import annotations

import click

from deploy.commands.console import json_option, print_json, print_table


@click.command()
@json_option
def settings(as_json: bool) -> None:  # noqa: FBT001
    """Show every setting, secrets masked, and where it comes from."""
    from shared.settings import Settings
    from shared.settings_shown import every

    rows = every(Settings.load())
    if as_json:
        print_json(rows)
        return
    print_table("settings", ["name", "value", "from"], [list(row.values()) for row in rows])
