"""``ringpost processes``: who is at work, and letting one of them end after its work."""

from __future__ import annotations

import click

from deploy.commands.console import Problem, actor, json_option, note, open_transaction, print_json, print_table
from shared.times import age

_MIB = 1024 * 1024


@click.group()
def processes() -> None:
    """The processes at work: list, drain."""


@processes.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List the processes that were seen in the last ten minutes."""
    from shared.db.queries import processes as queries

    with open_transaction() as connection:
        rows = queries.listed(connection)
    if as_json:
        print_json(rows)
        return
    print_table(
        "Processes",
        ["process", "work", "host", "pid", "version", "MiB", "last seen", "since", "draining since"],
        [
            (
                row["process_id"],
                row["work"],
                row["host"],
                row["pid"],
                row["version"],
                None if row["rss_bytes"] is None else row["rss_bytes"] // _MIB,
                age(row["silent_s"]),
                row["started_at"],
                row["drain_asked_at"],
            )
            for row in rows
        ],
    )


@processes.command()
@click.argument("process_id")
def drain(process_id: str) -> None:
    """Let a process take nothing new, finish its work and end; its supervisor starts another."""
    from shared.db.queries import processes as queries

    with open_transaction() as connection:
        if not queries.ask_to_drain(connection, process_id, by=actor()):
            raise Problem(f"no process {process_id!r} is at work that does not drain already")
        note(connection, "process.drain", process_id, {"draining": True}, before={"draining": False})
    click.echo(f"{process_id} drains, as soon as it is seen next: within 5 seconds")
