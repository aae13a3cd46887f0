"""``ringpost lanes``: hold back a type of message, and let it go again."""

from __future__ import annotations

import click

from deploy.commands.console import actor, note, open_transaction
from shared.lifecycle import Lane
from shared.stops import Scope, Stop

_lane = click.argument("lane", type=click.Choice([lane.value for lane in Lane]))


@click.group()
def lanes() -> None:
    """Hold back a type of message, and let it go again."""


@lanes.command()
@_lane
def pause(lane: str) -> None:
    """Dial no more messages of LANE; `ringpost stop lane` does the same with a preview and a reason."""
    from shared.db.queries import stops

    with open_transaction() as connection:
        if stops.find(connection, Scope.LANE, lane) is None:
            stops.stop(connection, Stop(Scope.LANE, lane), reason="paused", by=actor())
            note(connection, "lane.pause", lane)
    click.echo(f"lane {lane} is paused: messages wait until `ringpost lanes resume {lane}` or their deadline")


@lanes.command()
@_lane
def resume(lane: str) -> None:
    """Dial the messages of LANE again."""
    from shared.db.queries import stops

    with open_transaction() as connection:
        before = stops.find(connection, Scope.LANE, lane)
        if stops.go(connection, Scope.LANE, lane):
            note(connection, "lane.resume", lane, before={"reason": before["reason"]} if before else None)
    click.echo(f"lane {lane} is dialled")
