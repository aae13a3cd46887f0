"""Now and then: partitions are made before their time comes, and go whole when nothing refers to their rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shared.db.database import Database, DatabaseAway, sql_state
from shared.db.queries import partitions
from shared.db.queries.partitions import PARTED, Parted
from shared.services import Services

T = TypeVar("T")

_LOOK_S: Final = 60.0
#: About so many hold what is kept: a statement that looks for a row opens each.
_KEPT: Final = 12
#: So many are ready before their time, should no sweeper run for a while.
_AHEAD: Final = 2
_DAY: Final = timedelta(days=1)
#: Of the rows that go page by page.
_PAGE: Final = 500
#: After each page, so many times what it took.
_REST: Final = 4

log = structlog.get_logger()


def keep_partitions(services: Services, stop: threading.Event) -> None:
    """Look after the partitions until *stop*; what fails is tried again in the next round."""
    steps: tuple[Callable[[Parted], None], ...] = (
        partial(add_missing, services.database, width=width_of(services.settings.retention_days)),
        partial(let_go, services.database),
        partial(delete_loose, services.database, stop=stop),
    )
    while True:
        for parted in PARTED:
            for step in steps:
                _try(step, parted)
        if stop.wait(_LOOK_S):
            return


def _try(step: Callable[[Parted], None], parted: Parted) -> None:
    try:
        step(parted)
    except DatabaseAway:
        log.warning("database_away", process="partitions")
    except DBAPIError as error:  # each step does without the others: what no partition takes lies in the default one
        log.warning("partition_failed", table=parted.table, error=type(error).__name__, sql_state=sql_state(error))
    except Exception:  # the next round may do it
        log.exception("partition_failed", table=parted.table)


def width_of(retention_days: int) -> timedelta:
    """How much time a partition holds: a twelfth of what is kept, and whole days."""
    return timedelta(days=-(-retention_days // _KEPT))


def add_missing(database: Database, parted: Parted, width: timedelta) -> None:
    """
    Make the partitions that will be needed; a kill leaves each made or not.

    Raises:
        sqlalchemy.exc.DBAPIError: One could not be had at once, or is not ours to make.
    """
    while span := _once(database, partial(_add_one, parted=parted, width=width)):
        log.info("partition_added", table=parted.table, since=span[0], until=span[1])


def _once(database: Database, work: Callable[[Connection], T]) -> T:
    """In one transaction that is not repeated: whoever holds us up now does so a moment later, too."""
    with database.transaction() as connection:
        return work(connection)


def _add_one(connection: Connection, parted: Parted, width: timedelta) -> tuple[str, str] | None:
    today = partitions.today(connection)
    if not partitions.is_ours_alone(connection):
        return None
    last = max((one.until for one in partitions.known(connection, parted) if one.is_attached), default=today)
    if last >= today + max(_AHEAD * width, 2 * _DAY):
        return None
    since = max(last, today)
    if partitions.is_taken(connection, parted, since, since + width):
        since = max(last, today + 2 * _DAY)  # of a time that nobody can have used yet
    partitions.add(connection, parted, since, since + width)
    return since.isoformat(), (since + width).isoformat()


def let_go(database: Database, parted: Parted) -> None:
    """
    Detach the partitions that are over, then drop them.

    A kill leaves one in its table or detached; whatever is detached is dropped in the next round.

    Raises:
        sqlalchemy.exc.DBAPIError: Somebody has the table for longer, as a backup does.
    """
    while name := _once(database, partial(_detach_one, parted=parted)):
        log.info("partition_detached", table=parted.table, partition=name)
    for one in database.run(partial(partitions.known, parted=parted)):
        if not one.is_attached:
            database.run(partial(partitions.drop, name=one.name))
            log.info("partition_dropped", table=parted.table, partition=one.name)


def _detach_one(connection: Connection, parted: Parted) -> str | None:
    if not partitions.is_ours_alone(connection):
        return None
    yesterday = partitions.today(connection) - _DAY
    for one in partitions.known(connection, parted):
        if one.is_attached and one.until <= yesterday and partitions.is_over(connection, parted, one):
            partitions.detach(connection, parted, one.name)
            return one.name
    return None


def delete_loose(database: Database, parted: Parted, stop: threading.Event) -> None:
    """Delete what belongs to nothing any more from the default partition and from the first, page by page."""
    yesterday = database.run(partitions.today) - _DAY
    firsts = [one.name for one in database.run(partial(partitions.known, parted=parted)) if one.since is None]
    for name in (parted.default, *firsts):
        page = partial(partitions.delete_rows, parted=parted, name=name, before=yesterday, page=_PAGE)
        began = time.monotonic()
        while database.run(page) and not stop.wait(_REST * (time.monotonic() - began)):
            began = time.monotonic()
