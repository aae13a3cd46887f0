"""``ringpost status``: what waits, what is under way, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    json_option,
    load_settings,
    open_database,
    open_transaction,
    print_json,
    print_table,
)
from shared.times import age

if TYPE_CHECKING:
    from shared.db.database import Database
    from shared.settings import Settings

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
    from shared.alarms import ringing_alarms
    from shared.db.state import bad_news, gather

    settings = load_settings()
    with open_transaction(settings) as connection:
        state = gather(connection, settings)
    state["redis"] = asdict(ask_redis(str(settings.redis_url)))
    with open_database(settings) as database:
        state["vitals"] = vitals_of(settings, database)
    state["bad_news"] = list(bad_news(state))
    state["runbook"] = [alarm.runbook for alarm in ringing_alarms(state["vitals"])]
    if as_json:
        print_json(state)
    else:
        _print(state)
    context.exit(BAD_NEWS if state["bad_news"] else 0)


def vitals_of(settings: Settings, database: Database) -> dict[str, Any]:
    """The figures that alarms go by."""
    import redis

    from shared import vitals
    from shared.db.queries.daily_calls import caps_of
    from shared.services import pace_of

    with redis.Redis.from_url(
        str(settings.redis_url), socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
    ) as client:
        return vitals.gather(database, client, settings.spool_dir, caps_of(pace_of(settings)))


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


def _cut(calls: Mapping[str, Any], limit: str) -> str:
    """What was refused, if 8x8 ever did."""
    refused, at = calls[f"{limit}_refused"], calls[f"{limit}_cut_at"]
    return "" if refused is None else f"; 8x8 refused {refused:.3g} at {at:%Y-%m-%d %H:%M:%S}"


def _print_speed(state: Mapping[str, Any]) -> None:
    click.echo()
    print_table(
        "How soon, in the last 10 minutes",
        ["lane", "messages", "within the deadline", "to dial, p50", "p95", "to answer, p50", "p95", "nearest deadline"],
        [
            (
                row["lane"],
                row["messages"],
                None if row["hit_rate"] is None else f"{row['hit_rate']:.1%}",
                *(age(row[name]) for name in ("dial_p50_s", "dial_p95_s", "answer_p50_s", "answer_p95_s")),
                age(state["vitals"].get("deadline_slack_s", {}).get(row["lane"])),
            )
            for row in state["lately"]
        ],
    )


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
    _print_speed(state)
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
    _print_news(state["bad_news"], state["runbook"])


def _print_news(bad_news: Sequence[str], places: Sequence[str]) -> None:
    for line in bad_news:
        click.secho(f"! {line}", fg="red")
    for place in places:
        click.echo(f"  -> {place}")
    if not bad_news:
        click.secho("all well", fg="green")
