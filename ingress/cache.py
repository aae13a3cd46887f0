"""Small caches over PostgreSQL: what changes rarely is read rarely, and a change counts within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

from shared.db.database import is_away
from shared.strand import Latch, aside

T = TypeVar("T")

#: However much somebody hurries: seconds between two loads.
_SOONEST_S: Final = 0.25

#: Longest wait for another's question, in seconds.
_PATIENCE_S: Final = 1.0

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
        self._lock = threading.Lock()
        self._asking: dict[str, list[Latch]] = {}  # those who wait for who asks

    def get(self, key: str) -> T:
        """The answer for *key*; one asks for all that want it in the same moment."""
        known = self._fresh(key)
        if known is not None:
            return known[1]
        with self._lock:
            others = self._asking.get(key)
            if others is None:
                self._asking[key] = []
            else:
                latch = Latch()
                others.append(latch)
        if others is not None:
            latch.wait(_PATIENCE_S)
            known = self._fresh(key)
            return known[1] if known is not None else aside(lambda: self._ask(key))
        try:
            return self._learn(key, aside(lambda: self._ask(key)))
        finally:
            with self._lock:
                waiting = self._asking.pop(key)
            for latch in waiting:
                latch.set()

    def _fresh(self, key: str) -> tuple[float, T] | None:
        known = self._answers.get(key)
        return known if known is not None and time.monotonic() - known[0] < self._for_s else None

    def _learn(self, key: str, answer: T) -> T:
        if len(self._answers) >= self._LIMIT:
            self._answers.clear()
        self._answers[key] = (time.monotonic(), answer)
        return answer
