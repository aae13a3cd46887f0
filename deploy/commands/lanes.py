"""``ringpost lanes``: hold back a type of message, and let it go again."""

from __future__ import annotations

import click

from deploy.commands.console import actor, open_transaction
from shared.lifecycle import Lane

_lane = click.argument("lane", type=click.Choice([lane.value for lane in Lane]))


@click.group()
def lanes() -> None:
    """Hold back a type of message, and let it go again."""


@lanes.command()
@_lane
def pause(lane: str) -> None:
    """Dial no more messages of LANE; `ringpost stop lane` does the same with a preview and a reason."""
    from shared.db.queries import lanes as queries

    with open_transaction() as connection:
        queries.pause(connection, Lane(lane), actor=actor())
    click.echo(f"lane {lane} is paused: messages wait until `ringpost lanes resume {lane}` or their deadline")


@lanes.command()
@_lane
def resume(lane: str) -> None:
    """Dial the messages of LANE again."""
    from shared.db.queries import lanes as queries

    with open_transaction() as connection:
        queries.resume(connection, Lane(lane), actor=actor())
    click.echo(f"lane {lane} is dialled")
