"""``ringpost status``: what waits, what is under way, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    age,
    json_option,
    load_settings,
    open_database,
    open_transaction,
    print_json,
    print_table,
)
from shared.alarms import LATE_S, ringing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from shared.settings import Settings

#: Alarms that the tables tell more of.
_TOLD: Final = frozenset(
    {"sweeper_silent", "breaker_open", "message_overdue", "callback_overdue", "webhook_overdue", "redis_away"}
)
_REDIS_TIMEOUT_S: Final = 2


@dataclass(frozen=True, slots=True)
class RedisState:
    """What Redis said when it was asked; only ``reachable`` is known when it did not answer."""

    reachable: bool
    version: str | None = None
    eviction_policy: str | None = None


@click.command()
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """
    Show what waits, what is under way and what is wrong.

    Exit code 1 on bad news: the sweeper silent, a breaker open, a row overdue by more than 30 s, no Redis.
    """
    settings = load_settings()
    with open_transaction(settings) as connection:
        state = gather(connection, settings)
    state["redis"] = asdict(ask_redis(str(settings.redis_url)))
    state["vitals"] = _vitals(settings)
    state["bad_news"] = list(bad_news(state))
    if as_json:
        print_json(state)
    else:
        _print(state)
    context.exit(BAD_NEWS if state["bad_news"] else 0)


def _vitals(settings: Settings) -> dict[str, Any]:
    """The figures of ``GET /metrics``."""
    import redis

    from shared import vitals
    from shared.db.queries.daily_calls import caps_of
    from shared.services import pace_of

    with (
        open_database(settings) as database,
        redis.Redis.from_url(
            str(settings.redis_url), socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
        ) as client,
    ):
        return vitals.gather(database, client, settings.spool_dir, caps_of(pace_of(settings)))


def gather(connection: Connection, settings: Settings) -> dict[str, Any]:
    """Everything that PostgreSQL knows of the present; also what a status page needs."""
    from shared.db import reports
    from shared.services import pace_of

    pace = pace_of(settings)
    return {
        "lanes": [dict(row) for row in reports.lanes(connection)],
        "messages": [dict(row) for row in reports.open_messages(connection)],
        "calls": {
            "in_flight": reports.calls_in_flight(connection),
            "cap": pace.max_in_flight,
            **reports.limits(connection, pace),
        },
        "breakers": [dict(row) for row in reports.breakers(connection)],
        "callbacks": [dict(row) for row in reports.callback_states(connection)],
        "inbox": dict(reports.inbox(connection)),
        "sweeper": {"silent_s": reports.sweeper_silence(connection)},
    }


def ask_redis(url: str) -> RedisState:
    """Whether Redis answers, and what it is."""
    import redis

    try:
        with redis.Redis.from_url(
            url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
        ) as client:
            info: Any = client.info()
    except (redis.RedisError, OSError, ValueError):
        return RedisState(reachable=False)
    version = info.get("valkey_version") or info.get("redis_version")
    return RedisState(reachable=True, version=str(version), eviction_policy=info.get("maxmemory_policy"))


def bad_news(state: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each thing that somebody should look at."""
    silent = state["sweeper"]["silent_s"]
    if silent is None or silent > LATE_S:
        since = "never was heard of" if silent is None else f"is silent for {age(silent)}"
        yield f"the sweeper {since}: is `ringpost up` running?"
    for row in state["breakers"]:
        yield f"8x8 refuses {row['scope']} {row['name']} ({row['reason']}): `ringpost doctor` tells more"
    for row in state["messages"]:
        if (row["oldest_overdue_s"] or 0) > LATE_S:
            yield f"a message in status {row['status']} is overdue by {age(row['oldest_overdue_s'])}"
    for row in state["callbacks"]:
        if row["state"] != "parked" and (row["oldest_s"] or 0) > LATE_S:
            yield f"a callback in state {row['state']} is overdue by {age(row['oldest_s'])}"
    if (state["inbox"]["oldest_overdue_s"] or 0) > LATE_S:
        yield f"a webhook of 8x8 is overdue by {age(state['inbox']['oldest_overdue_s'])}"
    if not state["redis"]["reachable"]:
        yield "Redis does not answer: work goes on by the sweeper's rounds alone, more slowly"
    yield from (sentence for name, sentence in ringing(state.get("vitals", {})) if name not in _TOLD)


def _cut(calls: Mapping[str, Any], limit: str) -> str:
    """What was refused, if 8x8 ever did."""
    refused, at = calls[f"{limit}_refused"], calls[f"{limit}_cut_at"]
    return "" if refused is None else f"; 8x8 refused {refused:.3g} at {at:%Y-%m-%d %H:%M:%S}"


def _print(state: Mapping[str, Any]) -> None:
    print_table(
        "Lanes",
        ["lane", "waiting", "later", "oldest overdue", "paused since"],
        [
            (row["lane"], row["waiting"], row["waiting_later"], age(row["oldest_overdue_s"]), row["paused_at"])
            for row in state["lanes"]
        ],
    )
    click.echo()
    print_table(
        "Messages under way",
        ["status", "messages", "oldest overdue"],
        [(row["status"], row["messages"], age(row["oldest_overdue_s"])) for row in state["messages"]],
    )
    click.echo()
    print_table(
        "Callbacks not done",
        ["state", "callbacks", "oldest"],
        [(row["state"], row["callbacks"], age(max(0.0, row["oldest_s"] or 0.0))) for row in state["callbacks"]],
    )
    inbox, redis, calls = state["inbox"], state["redis"], state["calls"]
    click.echo()
    click.echo(f"calls in flight     {calls['in_flight']} of at most {int(calls['lines'])}{_cut(calls, 'lines')}")
    click.echo(f"dials a second      at most {calls['dials_per_second']:.3g}{_cut(calls, 'pace')}")
    if calls["held_s"] > 0:
        click.echo(f"  8x8 asked to wait {age(calls['held_s'])} more")
    click.echo(f"webhooks waiting    {inbox['unprocessed']}, oldest {age(inbox['oldest_s'])}")
    click.echo(f"  without a match   {inbox['unmatched']}, oldest {age(inbox['oldest_unmatched_s'])}")
    click.echo(f"sweeper last seen   {age(state['sweeper']['silent_s'])} ago")
    click.echo(f"Redis               {redis['version'] if redis['reachable'] else 'does not answer'}")
    for name, value in state["vitals"].items():
        if isinstance(value, int | float):
            click.echo(f"  {name:<25} {value:.4g}")
    for line in state["bad_news"]:
        click.secho(f"! {line}", fg="red")
    if not state["bad_news"]:
        click.secho("all well", fg="green")
