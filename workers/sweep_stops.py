"""What the sweeper does for stops and caps: hold what is stopped, let go what was, put off what meets a full cap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from shared.db.database import Database
from shared.db.queries import daily_calls, moves, stops
from shared.db.queries.daily_calls import TooMany
from shared.lifecycle import Event, Move
from shared.reasons import Reason
from shared.services import Services, pace_of

_PAGE: Final = 2000

log = structlog.get_logger()


def hold(services: Services) -> None:
    """Put what waits and is stopped out of the claim's way."""
    if held := _by_pages(services.database, stops.hold):
        log.warning("messages_held", messages=held)


def let_go(services: Services) -> None:
    """End the stops whose time is over, and let go what those held that have ended."""
    database = services.database
    database.run(stops.end_passed)
    ended = database.run(stops.ended)
    let_go = _by_pages(database, stops.let_go)
    database.run(partial(stops.forget, ended=ended))
    log.warning("messages_let_go", messages=let_go)


def put_off(services: Services) -> None:
    """What meets a cap that is used up waits for the next day, or is blocked, as far as its deadline allows."""
    caps = daily_calls.caps_of(pace_of(services.settings))
    blocked = 0

    def page(connection: Connection, page: int) -> int:
        nonlocal blocked
        found, too_many = daily_calls.put_off(connection, caps, page)
        blocked += len(moves.apply(connection, [_blocked(one) for one in too_many]))
        return found

    if met := _by_pages(services.database, page):
        log.warning("daily_cap_met", messages=met, blocked=blocked)


def look_again(services: Services) -> None:
    """The settings may be others than before: whatever was put off is looked at once more."""
    for work in (stops.let_go, daily_calls.release):
        _by_pages(services.database, work)


def _by_pages(database: Database, work: Callable[[Connection, int], int]) -> int:
    """Do *work* a page a transaction until there is no more; how much it was."""
    done = 0
    while True:
        many = database.run(lambda connection: work(connection, _PAGE))
        done += many
        if many < _PAGE:
            return done


def _blocked(one: TooMany) -> Move:
    """Too late tomorrow; but a doubtful call of before may have been heard, and its summary may still say so."""
    if one.has_doubt:
        return Move(one.id, Event.DOUBT_REMAINED, reason=Reason.NEVER_CONFIRMED)
    return Move(one.id, Event.CAP_REACHED, reason=Reason.DAILY_CAP)
