"""``ringpost audit-log``: who changed what."""

from __future__ import annotations

import json
from typing import Any

import click

from deploy.commands.console import WRONG_USE, Problem, json_option, open_transaction, print_json, print_table


@click.command("audit-log")
@click.option("--since", metavar="TIME", help="From then on, such as 2026-10-05T09:00:00Z.")
@click.option("--actor", metavar="NAME", help="Of an operator, a provider's key, or a user of this command line.")
@click.option("--action", metavar="WORDS", help="Such as provider.disable, or provider for all of them.")
@click.option("--target", metavar="ID", help="Of what was changed.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="The newest.")
@json_option
def audit_log(as_json: bool, limit: int, since: str | None, **asked: str | None) -> None:  # noqa: FBT001
    """List who changed what, from what and to what, the newest first."""
    from shared.db.queries import audit_log as queries
    from shared.times import parse_time

    try:
        moment = None if since is None else parse_time(since)
    except ValueError as error:
        raise Problem(f"--since: {error}", WRONG_USE) from None
    wanted = queries.Wanted(asked["actor"], asked["action"], asked["target"], moment)
    with open_transaction() as connection:
        rows = [dict(row) for row in queries.listed(connection, wanted, limit)]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Changes",
        ["when", "who", "what", "of", "before", "after"],
        [
            [row["at"], row["actor"], row["action"], row["target"], _brief(row["before"]), _brief(row["after"])]
            for row in rows
        ],
    )


def _brief(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
