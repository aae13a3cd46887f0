"""Small caches over PostgreSQL: what changes rarely is read rarely, and a change counts within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from shared.db.database import is_away

T = TypeVar("T")

log = structlog.get_logger()


class Refreshed(Generic[T]):
    """One value, loaded anew by a thread of its own so that no request waits for it; kept while loading fails."""

    def __init__(self, name: str, load: Callable[[], T], first: T, *, every_s: float) -> None:
        """
        Args:
            name: Of the thread and in logs.
            load: Reads the value.
            first: The value until the first load.
            every_s: Seconds between loads.
        """
        self.value = first
        self._name = name
        self._load = load
        self._every_s = every_s
        self._stop = threading.Event()
        threading.Thread(target=self._run, name=f"refresh-{name}", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()

    def _run(self) -> None:
        while True:
            try:
                self.value = self._load()
            except Exception as error:  # an old value beats none; the next load may succeed
                if not is_away(error):
                    log.exception("refresh_failed", what=self._name)
            if self._stop.wait(self._every_s):
                return


class Remembered(Generic[T]):
    """Answers by key, asked again when older than *for_s* seconds."""

    _LIMIT: Final = 4096

    def __init__(self, ask: Callable[[str], T], *, for_s: float) -> None:
        self._ask = ask
        self._for_s = for_s
        self._answers: dict[str, tuple[float, T]] = {}

    def get(self, key: str) -> T:
        """The answer for *key*."""
        now = time.monotonic()
        known = self._answers.get(key)
        if known is not None and now - known[0] < self._for_s:
            return known[1]
        answer = self._ask(key)
        if len(self._answers) >= self._LIMIT:
            self._answers.clear()
        self._answers[key] = (now, answer)
        return answer
