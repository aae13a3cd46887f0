"""Now and then: what is older than RETENTION_DAYS becomes a line of daily totals. Beside the sweep, and slower."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from shared.db.database import is_away
from shared.db.queries import purge
from shared.services import Services

_DAY_S: Final = 86_400
_PAGE: Final = 200
#: Between two looks for what has become old, in seconds.
_LOOK_S: Final = 60.0
#: After each page, so many times what it took: others' statements wait behind a fifth of PostgreSQL at most.
_REST: Final = 4

log = structlog.get_logger()


def purge_once(services: Services, stop: threading.Event | None = None, *, rest: float = _REST) -> dict[str, int]:
    """
    Bury, count and delete everything that is old, page by page.

    Any number of sweepers may: a page is one statement, which skips what another one is at.

    Returns:
        How many texts were erased, messages buried and deleted, feed events cut off, parked webhooks forgotten.
    """
    database = services.database
    keep_s = float(services.settings.retention_days * _DAY_S)
    pages = _Pages(stop or threading.Event(), rest)
    place = {"after": ""}

    def bury() -> tuple[int, bool]:
        found = database.run(partial(purge.bury, keep_s=keep_s, after=place["after"], page=_PAGE), alone=True)
        place["after"] = found.last
        return found.buried, found.goes_on

    def full(work: Callable[..., int]) -> Callable[[], tuple[int, bool]]:
        def one() -> tuple[int, bool]:
            count = database.run(partial(work, page=_PAGE), alone=True)
            return count, count > 0

        return one

    feeds = database.run(purge.feeds, alone=True)
    return {
        "texts": pages.all_of(full(purge.erase_texts)),
        "buried": pages.all_of(bury),
        "messages": pages.all_of(full(purge.delete)),
        "events": sum(pages.all_of(full(partial(purge.cut_feed, keep_s=keep_s, provider_id=one))) for one in feeds),
        "webhooks": pages.all_of(full(partial(purge.forget_parked, keep_s=keep_s))),
    }


class _Pages:
    """Pages with rests between them, until there is no more or somebody says stop."""

    def __init__(self, stop: threading.Event, rest: float) -> None:
        self._stop = stop
        self._rest = rest

    def all_of(self, page: Callable[[], tuple[int, bool]]) -> int:
        """Carry out *page* (count, whether more may follow) again and again; the sum of the counts."""
        total = 0
        while not self._stop.is_set():
            began = time.monotonic()
            count, goes_on = page()
            total += count
            if not goes_on:
                break
            self._stop.wait(self._rest * (time.monotonic() - began))
        return total


def keep_purging(services: Services, stop: threading.Event) -> None:
    """Purge until *stop*; a page that fails is tried again in the next round."""
    while not stop.wait(_LOOK_S):
        try:
            done = purge_once(services, stop)
        except Exception as error:  # what is not purged today is tomorrow
            if is_away(error):
                log.warning("database_away", process="purge")
            else:
                log.exception("purge_failed")
        else:
            if any(done.values()):
                log.info("purged", **done)
