"""``ringpost voices``."""

from __future__ import annotations

import click

from deploy.commands.console import json_option, load_settings, print_json, print_table


@click.command()
@click.option("--language", metavar="xx", help="Only this language, such as en or en-SG.")
@json_option
def voices(language: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the voices that the 8x8 subaccount may use."""
    from shared.services import build_voice_api

    wanted = (language or "").lower()
    rows = sorted(
        (profile.locale, profile.code, profile.gender)
        for profile in build_voice_api(load_settings()).speech_profiles()
        if profile.locale.lower() == wanted or profile.locale.lower().startswith(wanted and wanted + "-")
    )
    if as_json:
        print_json([{"language": row[0], "voice": row[1], "gender": row[2]} for row in rows])
        return
    print_table("Voices", ["language", "voice", "gender"], rows)
