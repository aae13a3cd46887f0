"""``ringpost stop``, ``go`` and ``stops``: kill switches for calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import (
    WRONG_USE,
    Problem,
    actor,
    json_option,
    load_settings,
    note,
    open_transaction,
    print_json,
    print_table,
)
from deploy.commands.providers import find_provider
from shared.stops import Scope, Stop, name_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from shared.settings import Settings

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST: Final = timedelta(days=365)
#: Who stops calls is in a hurry: counting what that costs must not take long on a database in trouble.
_COUNTED_S: Final = 5.0

_scope = click.argument("scope", type=click.Choice([scope.value for scope in Scope]))
_name = click.argument("name", required=False)


def _actor_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--actor", "by", metavar="NAME", help="Who does it. Default: the system's user.")(command)


@click.command()
@_scope
@_name
@click.option("--reason", metavar="TEXT", help="Why; for the list and the audit log. Required.")
@click.option("--for", "lasts", metavar="2h", help="It ends by itself then: 90s, 30m, 2h, 1d. Default: until `go`.")
@click.option("--preview", is_flag=True, help="Only show what it would cost.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_actor_option
@json_option
def stop(scope: str, name: str | None, as_json: bool, **how: Any) -> None:  # noqa: FBT001
    """
    Stop calls: all, or those of a provider, lane, country, prefix or source (caller id).

    Within two seconds no call begins that the stop covers, and new messages are refused. What waits is held until
    `ringpost go` or its deadline. Calls under way go on. First it shows what the last day would have lost; with --yes
    it stops first.
    """
    settings = load_settings()
    lasts = _duration(how["lasts"])
    if not how["preview"] and not (how["reason"] or "").strip():
        raise Problem("--reason: is required", WRONG_USE)
    if as_json and not (how["yes"] or how["preview"]):
        raise Problem("--json: needs --yes or --preview, as it cannot ask", WRONG_USE)
    with open_transaction(settings) as connection:
        wanted = _stop_of(connection, scope, name)

    def throw() -> None:
        _throw(settings, wanted, reason=how["reason"].strip(), by=how["by"], lasts=lasts)

    is_urgent = how["yes"] and not how["preview"]
    if is_urgent:
        throw()  # what it costs is counted once nothing rings any more
    cost = _cost(settings, wanted, None if how["preview"] else _COUNTED_S)
    if not as_json:
        _print_cost(wanted, cost)
    if not is_urgent and not how["preview"]:
        click.confirm(f"Stop {wanted.words}?", abort=True)
        throw()
    if as_json:
        print_json({"scope": wanted.scope, "name": wanted.name, "stopped": not how["preview"], **cost})
    elif not how["preview"]:
        click.echo(f"{wanted.words} is stopped: `ringpost go {wanted.words}` ends that")


@click.command()
@_scope
@_name
@_actor_option
def go(scope: str, name: str | None, by: str | None) -> None:
    """End a stop: what it held is called at once, unless another stop covers it."""
    from shared.db.queries import stops as queries

    with open_transaction() as connection:
        wanted = _stop_of(connection, scope, name)
        before = queries.find(connection, wanted.scope, wanted.name)
        if not queries.go(connection, wanted.scope, wanted.name):
            raise Problem(f"{wanted.words} is not stopped: see `ringpost stops list`")
        note(connection, "go", wanted.words, before=_noted(before), by=by)
    click.echo(f"{wanted.words} is called again")


@click.group()
def stops() -> None:
    """What operators have stopped."""


@stops.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List what is stopped: why, by whom, since when and until when."""
    from shared.db.queries import stops as queries

    with open_transaction() as connection:
        rows = queries.listed(connection)
    if as_json:
        print_json([dict(row) for row in rows])
        return
    columns = ["scope", "name", "reason", "stopped_by", "stopped_at", "until"]
    print_table(
        "Stops", [name.replace("_", " ") for name in columns], [[row[name] for name in columns] for row in rows]
    )


def _stop_of(connection: Connection, scope: str, name: str | None) -> Stop:
    try:
        kept = name_of(Scope(scope), name)
    except ValueError as error:
        raise Problem(f"NAME: {error}", WRONG_USE) from None
    return Stop(Scope(scope), find_provider(connection, kept) if Scope(scope) is Scope.PROVIDER else kept)


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,7})([smhd])", text.strip())
    lasts = timedelta(seconds=int(found[1]) * _UNITS_S[found[2]]) if found else None
    if lasts is None or lasts > _LONGEST:
        raise Problem("--for: must be a time such as 90s, 30m, 2h or 1d, a year at most", WRONG_USE)
    return lasts


def _throw(settings: Settings, wanted: Stop, *, reason: str, by: str | None, lasts: timedelta | None) -> None:
    from shared.db.queries import stops as queries

    with open_transaction(settings) as connection:
        before = queries.find(connection, wanted.scope, wanted.name)
        queries.stop(
            connection, wanted, reason=reason, by=actor(by), for_s=None if lasts is None else lasts.total_seconds()
        )
        after = queries.find(connection, wanted.scope, wanted.name)
        note(connection, "stop", wanted.words, _noted(after), before=_noted(before), by=by)


def _noted(row: Any) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in ("reason", "stopped_by", "stopped_at", "until")}


def _cost(settings: Settings, wanted: Stop, patience_s: float | None) -> dict[str, Any]:
    """What it would cost; nothing known when that takes longer than *patience_s*."""
    from shared import stop_cost
    from shared.db.database import is_away
    from shared.sealing import Sealer

    try:
        with open_transaction(settings) as connection:
            cost = stop_cost.counted(connection, Sealer(*settings.data_keys), wanted, patience_s)
    except Exception as error:
        if patience_s is None or not is_away(error):
            raise
        cost = stop_cost.unknown()
    return cost | {"at": datetime.now(UTC)}


def _print_cost(wanted: Stop, cost: Mapping[str, Any]) -> None:
    if cost["last_day"] is None:
        click.echo(f"what that costs could not be counted within {_COUNTED_S:g} s: see `ringpost stop ... --preview`")
        return
    columns = ["provider", "country", "messages", "calls", "delivered", "of those ended"]

    def cells(row: Mapping[str, Any], provider: str, country: str) -> list[Any]:
        share = "-" if row["delivered_share"] is None else f"{row['delivered_share']:.1%}"
        return [provider, country, row["messages"], row["calls"], row["delivered"], share]

    rows = [cells(row, row["provider"], row["country"]) for row in cost["last_day"]]
    if rows:
        rows.append(cells(cost["last_day_total"], "all", ""))
    at_most = " (at most: numbers are not kept, so all of the country code are counted)" if cost["is_at_most"] else ""
    print_table(f"Lost with {wanted.words} stopped for the last 24 hours{at_most}", columns, rows)
    click.echo(f"waiting now: {cost['waiting']} messages would be held")
