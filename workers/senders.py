"""A bounded pool of threads that wait for other people's servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger()


class Senders:
    """
    Holding one means being allowed so many requests under way at once.

    A plain queue between threads: the standard executor makes a future, a lock and a condition for each request, which
    took an eighth of a call worker's time.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._name = name
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._changed = threading.Condition(threading.Lock())
        self._wanted = 0  # free senders that somebody waits for; 0 when nobody does
        self._stopping = False

    @property
    def is_stopping(self) -> bool:
        """No new work is to be taken."""
        return self._stopping

    def free(self) -> int:
        """Senders with nothing to do."""
        return self.limit - self._busy

    def wait_for_free(self, wanted: int, timeout_s: float) -> int:
        """Wait until *wanted* senders are free, or time is up, or the process stops; says how many are."""
        with self._changed:
            self._wanted = wanted
            self._changed.wait_for(lambda: self._stopping or self.free() >= wanted, timeout_s)
            self._wanted = 0
            return 0 if self._stopping else self.free()

    def pause(self, seconds: float) -> None:
        """Sleep, unless the process stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def start(self, send: Callable[[], None]) -> None:
        """Have *send* done by a free sender."""
        with self._changed:
            self._busy += 1
            if self._busy > len(self._threads) and len(self._threads) < self.limit:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._asked.put(send)

    def stop(self) -> None:
        """Take nothing new; what is under way goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def drain(self, timeout_s: float = 60) -> None:
        """Wait for what is under way."""
        self.stop()
        for _ in self._threads:
            self._asked.put(None)
        stop_at = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, stop_at - time.monotonic()))

    def _run(self) -> None:
        while (send := self._asked.get()) is not None:
            try:
                send()
            except Exception:
                log.exception("sender_failed")
            with self._changed:
                self._busy -= 1
                if self._wanted and self.free() >= self._wanted:
                    self._changed.notify_all()
