"""``ringpost status``: what waits, what is under way, what is wrong; now, or for as long as somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from deploy.commands.console import (
    BAD_NEWS,
    WRONG_USE,
    Problem,
    console,
    explained,
    json_option,
    load_settings,
    open_database,
    print_json,
    shown,
)

if TYPE_CHECKING:
    import redis
    from rich.console import RenderableType

    from shared.db.database import Database
    from shared.settings import Settings
    from shared.vitals import Vitals

_REDIS_TIMEOUT_S: Final = 2
#: Between two looks, in seconds.
_EVERY_S: Final = 2.0
_HOW: Final = f"every {_EVERY_S:g} s; Ctrl-C ends"

_Look = Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RedisState:
    """What Redis said when it was asked; only ``reachable`` is known when it did not answer."""

    reachable: bool
    version: str | None = None
    eviction_policy: str | None = None


@click.command()
@click.option("--watch", is_flag=True, help="Show it anew every two seconds until Ctrl-C, through outages too.")
@json_option
@click.pass_context
def status(context: click.Context, *, watch: bool, as_json: bool) -> None:
    """
    Show what waits, what is under way and what is wrong.

    Exit code 1 on bad news: the sweeper silent, a breaker open, a row overdue by more than 30 s, no Redis.
    """
    from deploy.commands.status_page import news_of, page_of

    if watch and (as_json or not sys.stdout.isatty()):
        raise Problem("--watch is for people at a terminal; for programs there is --json, once", WRONG_USE)
    with _looking(load_settings()) as look:
        if watch:
            is_bad = _watch(look)
        else:
            state = look()
            is_bad = bool(state["bad_news"])
            if as_json:
                print_json(state)
            else:
                console().print(page_of(state), news_of(state), sep="\n")
    context.exit(BAD_NEWS if is_bad else 0)


@contextmanager
def _looking(settings: Settings) -> Iterator[_Look]:
    """What looks at everything, over the same connections each time."""
    from shared.alarms import ringing_alarms
    from shared.db.state import present

    with open_database(settings) as database, _redis(settings.redis_url) as client:
        vitals = _vitals(settings, database, client)

        def look() -> dict[str, Any]:
            figures, told = vitals.read(), asdict(_state_of(client))
            state = database.run(lambda c: present(c, settings, figures, told))
            return state | {"runbook": [alarm.runbook for alarm in ringing_alarms(figures)]}

        yield look


def vitals_of(settings: Settings, database: Database) -> dict[str, Any]:
    """The figures that alarms go by."""
    with _redis(settings.redis_url) as client:
        return _vitals(settings, database, client).read()


def ask_redis(url: str) -> RedisState:
    """Whether Redis answers, and what it is."""
    try:
        with _redis(url) as client:
            return _state_of(client)
    except ValueError:
        return RedisState(reachable=False)


def _redis(url: object) -> redis.Redis:
    import redis

    return redis.Redis.from_url(str(url), socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S)


def _vitals(settings: Settings, database: Database, client: redis.Redis) -> Vitals:
    from shared.db.queries.daily_calls import caps_of
    from shared.services import pace_of
    from shared.vitals import Vitals

    return Vitals(database, client, settings.spool_dir, caps_of(pace_of(settings)))


def _state_of(client: redis.Redis) -> RedisState:
    import redis

    try:
        info: Any = client.info()
    except (redis.RedisError, OSError, ValueError):
        return RedisState(reachable=False)
    version = info.get("valkey_version") or info.get("redis_version")
    return RedisState(reachable=True, version=str(version), eviction_policy=info.get("maxmemory_policy"))


def _watch(look: _Look) -> bool:
    """Show the page until Ctrl-C; whether the last one told bad news. What is away is told, and looked for again."""
    from rich.live import Live

    is_bad = False
    with Live(console=console(), screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            while True:
                page, is_bad = _seen(look)
                live.update(page, refresh=True)
                time.sleep(_EVERY_S)
        except KeyboardInterrupt:
            return is_bad


def _seen(look: _Look) -> tuple[RenderableType, bool]:
    from rich.console import Group

    from deploy.commands.status_page import news_of, page_of

    try:
        state = look()
    except Exception as error:
        if (problem := explained(error)) is None:
            raise
        return Group(problem.message, _HOW), True
    # A small terminal shows the top alone, so what is wrong comes first.
    return Group(f"{shown(state['at'])} UTC, {_HOW}", news_of(state), "", page_of(state)), bool(state["bad_news"])
