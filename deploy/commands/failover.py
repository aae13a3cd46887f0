"""``ringpost failover``: what a PostgreSQL that was promoted may have forgotten to be dialled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import json_option, note, open_transaction, print_json, print_table
from shared.lifecycle import Lane

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PAGE: Final = 500
_ids = click.argument("ids", metavar="[ID]...", nargs=-1)
_lane = click.option("--lane", type=click.Choice([lane.value for lane in Lane]), help="Only this lane's.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def failover() -> None:
    """
    What a promoted PostgreSQL may have forgotten: show, release, discard.

    A standby that was promoted may lack the last commits, and with them the note that a message was dialled. What
    waited then is held: nobody dials it until it is released, 8x8 tells of the call, or its deadline passes.
    """


@failover.command()
@json_option
def show(as_json: bool) -> None:  # noqa: FBT001
    """Count what is held, and list the servers that held this database."""
    from shared.db.queries import failover as queries

    with open_transaction() as connection:
        held, servers = queries.count(connection), queries.servers(connection)
    if as_json:
        print_json({"held": held, "servers": servers})
        return
    names = ("lane", "messages", "in_time", "since", "first_deadline")
    columns = ["lane", "held", "of them still in time", "since", "next deadline"]
    print_table("Held messages", columns, [[row[name] for name in names] for row in held])
    click.echo()
    columns = ["started", "found", "timeline", "held then"]
    print_table("Servers", columns, [[*row.values()] for row in servers])


@failover.command()
@_ids
@_lane
@_yes
def release(ids: Sequence[str], lane: str | None, yes: bool) -> None:  # noqa: FBT001
    """Dial them now: those named, else all. Some may be called a second time."""
    from shared.db.queries import failover as queries

    _all("release", queries.release, ids, lane, sure=yes)


@failover.command()
@_ids
@_lane
@_yes
def discard(ids: Sequence[str], lane: str | None, yes: bool) -> None:  # noqa: FBT001
    """End them as `undetermined` now: those named, else all."""
    from shared.db.queries import failover as queries

    _all("discard", queries.discard, ids, lane, sure=yes)


def _all(
    action: str, change: Callable[[Connection, Sequence[str]], int], ids: Sequence[str], lane: str | None, *, sure: bool
) -> None:
    """A page a transaction, each with what is held then; what does not change is left out of the next."""
    lanes = [Lane(lane)] if lane else list(Lane)
    with open_transaction() as connection:
        found = _ids_held(connection, lanes, ids)
    if not found:
        click.echo("nothing is held" + (" of these" if ids or lane else ""))
        return
    click.echo(f"{len(found)} messages are held")
    if not sure:
        click.confirm(f"{action.capitalize()} them?", abort=True)
    done = 0
    for start in range(0, len(found), _PAGE):
        with open_transaction() as connection:
            changed = change(connection, found[start : start + _PAGE])
            page = found[start : start + _PAGE]
            note(connection, f"failover.{action}", f"{changed} messages", {"ids": page}, before={"held": len(page)})
        done += changed
    click.echo(f"{action}: {done}" + (f"; {len(found) - done} were too late" if done < len(found) else ""))


def _ids_held(connection: Connection, lanes: Sequence[Lane], ids: Sequence[str]) -> list[str]:
    from shared.db.queries import failover as queries

    rows: Sequence[Any] = queries.held(connection, lanes=lanes, ids=ids or None, limit=1_000_000)
    return [row["id"] for row in rows]
