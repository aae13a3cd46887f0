"""One run at a time: doorbells that ring during a run make it look once more instead of starting another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class SingleFlight:
    """Guards one piece of work of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = False
        self._again = False
        #: When the round under way began, on the monotonic clock.
        self.busy_since: float | None = None

    def run(self, work: Callable[[], None]) -> None:
        """Do *work* now and again until nobody asked meanwhile; return at once when another thread is at it."""
        with self._lock:
            self._again = True
            if self._running:
                return
            self._running = True
        try:
            while self._asked():
                work()
        except BaseException:
            with self._lock:
                self._running, self.busy_since = False, None
            raise

    def _asked(self) -> bool:
        with self._lock:
            asked, self._again = self._again, False
            self.busy_since = time.monotonic() if asked else None
            if not asked:
                # Said under the same lock as the look, so that no ring falls between the two.
                self._running = False
            return asked
