"""Requests that wait for the next event of a feed: bounded in number, woken by one look for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from shared.db.database import is_away
from shared.strand import Latch, aside

T = TypeVar("T")

#: How late a new event may be seen, in seconds. While nobody waits, nobody looks.
_POLL_S: Final = 0.1
#: Beyond so many in one process, of one provider and of all, the answer comes at once.
MOST_OF_ONE: Final = 16
MAX_WAITING: Final = 512
#: Pages read at once: however many ask, the other routes have their connections to PostgreSQL.
_READERS: Final = 3

log = structlog.get_logger()


class Feeds:
    """Watches the feeds that requests wait for, by their last sequences alone."""

    def __init__(self, look: Callable[[Sequence[str]], Mapping[str, int]]) -> None:
        """
        Args:
            look: The last sequence of each of some providers.
        """
        self._look = look
        self._somebody = threading.Condition(threading.Lock())
        self._waiting: dict[str, list[_Wait]] = {}
        self._is_leaving = False
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="feed")
        threading.Thread(target=self._run, name="feeds", daemon=True).start()

    def read(self, code: Callable[[], T]) -> T:
        """What *code* reads of PostgreSQL, in a thread for that where this is a strand of the event loop."""
        return aside(code, self._readers)

    def wait(self, provider_id: str, after: int, timeout_s: float) -> bool:
        """
        Wait for an event behind *after*.

        Returns:
            Whether there is one; False when time is up, too many wait already, or the process ends.
        """
        mine = _Wait(after)
        with self._somebody:
            of_one = self._waiting.get(provider_id, ())
            is_full = len(of_one) >= MOST_OF_ONE or sum(map(len, self._waiting.values())) >= MAX_WAITING
            if is_full or self._is_leaving:
                return False
            self._waiting.setdefault(provider_id, []).append(mine)
            self._somebody.notify()
        try:
            mine.woken.wait(timeout_s)
        finally:
            with self._somebody:
                self._forget(provider_id, mine)
        return mine.is_met

    def leave(self) -> None:
        """Let all go who wait: the process is about to end."""
        with self._somebody:
            self._is_leaving = True
            for waits in self._waiting.values():
                for wait in waits:
                    wait.wake()

    def close(self) -> None:
        """End the threads."""
        self.leave()
        with self._somebody:
            self._somebody.notify()
        self._readers.shutdown(wait=False)

    def _forget(self, provider_id: str, wait: _Wait) -> None:
        waits = self._waiting[provider_id]
        waits.remove(wait)
        if not waits:
            del self._waiting[provider_id]

    def _run(self) -> None:
        while True:
            with self._somebody:
                while not self._waiting and not self._is_leaving:
                    self._somebody.wait()
                if self._is_leaving:
                    return
                wanted = list(self._waiting)
            self._tell(wanted)
            time.sleep(_POLL_S)  # other processes write the events, and tell nobody

    def _tell(self, wanted: Sequence[str]) -> None:
        try:
            lasts = self._look(wanted)
        except Exception as error:  # those who wait have their own bound
            if not is_away(error):
                log.exception("feeds_not_looked_at")
            return
        with self._somebody:
            for provider_id, last in lasts.items():
                for wait in self._waiting.get(provider_id, ()):
                    if last > wait.after:
                        wait.is_met = True
                        wait.wake()


class _Wait:
    """One request's."""

    __slots__ = ("after", "is_met", "is_woken", "woken")

    def __init__(self, after: int) -> None:
        self.after = after
        self.woken = Latch()
        self.is_woken = False
        self.is_met = False

    def wake(self) -> None:
        """Once."""
        if not self.is_woken:
            self.is_woken = True
            self.woken.set()
