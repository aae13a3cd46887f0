"""``ringpost quarantines``: ranges of numbers that look like toll fraud."""

from __future__ import annotations

import click

from deploy.commands.console import Problem, json_option, note, open_transaction, print_json, print_table


@click.group()
def quarantines() -> None:
    """Ranges of numbers that are not called for now: list, release."""


@quarantines.command("list")
@click.option("--past", is_flag=True, help="Those that are over, too.")
@json_option
def list_(past: bool, as_json: bool) -> None:  # noqa: FBT001
    """List what is in quarantine, and why."""
    from shared.db.queries import quarantines as queries

    with open_transaction() as connection:
        rows = queries.every(connection, past=past)
    if as_json:
        print_json(rows)
        return
    print_table(
        "Ranges in quarantine",
        ["quarantine", "provider", "range", "country", "since", "until", "released", "why"],
        [
            (
                row["quarantine_id"],
                row["provider"] or row["provider_id"],
                row["prefix_masked"],
                row["country"],
                row["since"],
                row["until"],
                row["released_at"],
                row["why"],
            )
            for row in rows
        ],
    )


@quarantines.command()
@click.argument("quarantine_id")
def release(quarantine_id: str) -> None:
    """Call a range again; it is trusted for a day from now on."""
    from shared.db.queries import quarantines as queries

    with open_transaction() as connection:
        released = queries.release(connection, quarantine_id)
        if released is None:
            raise Problem(f"no quarantine in force is called {quarantine_id!r}: see `ringpost quarantines list`")
        before = {"range": released.prefix_masked, "provider": released.provider_id, "why": released.why}
        note(connection, "quarantine.release", quarantine_id, {"released": True}, before=before)
    click.echo(f"{released.prefix_masked} is called again, within 2 seconds in every process")
