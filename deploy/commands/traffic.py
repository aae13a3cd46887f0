"""``ringpost traffic`` and ``ringpost senders``: where calls go and how they end there, and from which caller id."""

from __future__ import annotations

from typing import Any, Final

import click

from deploy.commands.console import json_option, load_settings, open_transaction, print_json, print_table

_LONGEST = 24 * 7


def _share(value: Any) -> str | None:
    return None if value is None else f"{value:.1%}"


@click.command()
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1, _LONGEST), help="Of the last so many.")
@json_option
def traffic(hours: int, as_json: bool) -> None:  # noqa: FBT001
    """Show calls by provider and country, and how they ended."""
    from shared.db import traffic as reads

    with open_transaction() as connection:
        rows = reads.by_country(connection, hours)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"Calls of the last {hours} h",
        ["country", "provider", "rang", "heard", "share", "in the 7 days before", "codes used", "seconds of talk"],
        [
            (
                row["country"],
                row["provider"],
                row["rang"],
                row["heard"],
                _share(row["heard_share"]),
                _share(row["usual_heard_share"]),
                _share(row["used_share"]),
                row["talk_seconds"],
            )
            for row in rows
        ],
    )


@click.command()
@json_option
def senders(as_json: bool) -> None:  # noqa: FBT001
    """Show how calls of each caller id fare, and what 8x8 answers."""
    from shared.db import reports
    from shared.db import traffic as reads

    with open_transaction(load_settings()) as connection:
        found = {
            "sources": reads.by_source(connection),
            "answers": reads.answers(connection),
            "breakers": reports.breakers(connection),
        }
    if as_json:
        print_json(found)
        return
    for title, part, columns in _TABLES:
        print_table(
            title, list(columns.values()), [[_cell(name, row[name]) for name in columns] for row in found[part]]
        )
        click.echo()


def _cell(name: str, value: Any) -> Any:
    return _share(value) if name.endswith("_share") else value


_TABLES: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    (
        "Caller ids, the newest calls of 24 h",
        "sources",
        {
            "source": "caller id",
            "calls": "calls",
            "answered": "answered",
            "answered_share": "of those ended",
            "refused": "refused",
            "last_at": "last",
        },
    ),
    (
        "8x8's answers of the last hour",
        "answers",
        {
            "disposition": "what it meant",
            "reason": "reason",
            "status_code": "code",
            "calls": "dials",
            "last_at": "last",
        },
    ),
    (
        "Refused by 8x8",
        "breakers",
        {"scope": "what", "name": "which", "reason": "why", "opened_at": "since", "probe_at": "tried next"},
    ),
)
