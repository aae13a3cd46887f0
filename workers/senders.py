"""A bounded pool of threads that wait for other people's servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

log = structlog.get_logger()


class Senders:
    """Holding one means being allowed so many requests under way at once."""

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix=name)
        self._busy = 0
        self._changed = threading.Condition(threading.Lock())
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
            self._changed.wait_for(lambda: self._stopping or self.free() >= wanted, timeout_s)
            return 0 if self._stopping else self.free()

    def pause(self, seconds: float) -> None:
        """Sleep, unless the process stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def start(self, send: Callable[[], None]) -> None:
        """Have *send* done by a free sender."""
        with self._changed:
            self._busy += 1
        self._pool.submit(self._do, send)

    def stop(self) -> None:
        """Take nothing new; what is under way goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait for what is under way."""
        self.stop()
        self._pool.shutdown(wait=True)

    def _do(self, send: Callable[[], None]) -> None:
        try:
            send()
        except Exception:
            log.exception("sender_failed")
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()
