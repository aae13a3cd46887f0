"""Small caches over PostgreSQL: what changes rarely is read rarely, and a change counts within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from shared.db.database import is_away
from shared.strand import aside

T = TypeVar("T")

#: However much somebody hurries: seconds between two loads.
_SOONEST_S: Final = 0.25

log = structlog.get_logger()


class Refreshed(Generic[T]):
    """One value, loaded anew by a thread of its own so that no request waits for it; kept while loading fails."""

    def __init__(self, name: str, load: Callable[[], T], first: T, *, every_s: float, share: float = 1) -> None:
        """
        Args:
            name: Of the thread and in logs.
            load: Reads the value.
            first: The value until the first load.
            every_s: Seconds between loads.
            share: Of the time at most this is spent loading: what takes long is loaded less often.
        """
        self.value = first
        self._name = name
        self._load = load
        self._every_s = every_s
        self._share = share
        self._wanted = threading.Event()
        self._stop = threading.Event()
        threading.Thread(target=self._run, name=f"refresh-{name}", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._wanted.set()

    def hurry(self) -> None:
        """Load soon, though not much sooner than the one before allows."""
        if not self._wanted.is_set():
            self._wanted.set()

    def _run(self) -> None:
        usual_s = 0.0
        while True:
            began = time.monotonic()
            try:
                self.value = self._load()
            except Exception as error:  # an old value beats none; the next load may succeed
                if not is_away(error):
                    log.exception("refresh_failed", what=self._name)
            took_s = time.monotonic() - began
            # The shorter of the last two: one may have waited for a busy machine instead of keeping it busy.
            rest_s = max(_SOONEST_S, min(took_s, usual_s or took_s) * (1 / self._share - 1))
            usual_s = took_s
            if self._stop.wait(rest_s):
                return
            self._wanted.wait(max(0.0, self._every_s - rest_s))
            self._wanted.clear()
            if self._stop.is_set():
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
        answer = aside(lambda: self._ask(key))
        if len(self._answers) >= self._LIMIT:
            self._answers.clear()
        self._answers[key] = (now, answer)
        return answer
