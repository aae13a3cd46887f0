"""A bounded pool of threads that wait for other people's servers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger()


class Senders:
    """
    Holding one means being allowed so many requests under way at once.

    Plain threads: the standard executor makes a future, a lock and a condition for each request, which took an eighth
    of a call worker's time. They are woken one by one, each by the one before, and whoever is done takes what waits:
    where answers come at once few threads do it all, while sixty woken together mostly waited for the interpreter.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._name = name
        self._asked: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._busy = 0  # requests asked for and not done
        self._asleep = 0  # threads that wait at the bell, for a ring that is not under way yet
        self._is_waking = False  # somebody is on the way from the bell: no other is rung for until it is here
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._changed = threading.Condition(threading.Lock())
        self._wanted: list[int] = []  # free senders that somebody waits for: several lanes may, each for its own number
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
            self._wanted.append(wanted)
            self._changed.wait_for(lambda: self._stopping or self.free() >= wanted, timeout_s)
            self._wanted.remove(wanted)
            return 0 if self._stopping else max(0, self.free())  # two lanes may have started more than there are

    def pause(self, seconds: float) -> None:
        """Sleep, unless the process stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, seconds)

    def start(self, send: Callable[[], None]) -> None:
        """Have *send* done by a free sender."""
        with self._changed:
            self._busy += 1
            self._asked.append(send)
            if self._busy > len(self._threads) and len(self._threads) < self.limit:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                thread.start()
                self._threads.append(thread)
            else:
                self._wake_one()

    def stop(self) -> None:
        """Take nothing new; what is under way goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def drain(self, timeout_s: float = 60) -> None:
        """Wait for what is under way."""
        self.stop()
        for _ in self._threads:
            self._bell.put(False)
        stop_at = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, stop_at - time.monotonic()))

    def _run(self) -> None:
        send = self._next(is_done=False)
        while True:
            if send is None:
                if not self._bell.get():
                    return
                with self._changed:
                    self._is_waking = False
                send = self._next(is_done=False)
                continue
            try:
                send()
            except Exception:
                log.exception("sender_failed")
            send = self._next(is_done=True)

    def _next(self, *, is_done: bool) -> Callable[[], None] | None:
        """What to do next, after the last request was *is_done*; None to sleep."""
        with self._changed:
            if is_done:
                self._busy -= 1
                if self._wanted and self.free() >= min(self._wanted):
                    self._changed.notify_all()
            if not self._asked:
                self._asleep += 1
                return None
            send = self._asked.popleft()
            if self._asked:
                self._wake_one()
            return send

    def _wake_one(self) -> None:
        if self._asleep and not self._is_waking:
            self._asleep -= 1
            self._is_waking = True
            self._bell.put(True)
