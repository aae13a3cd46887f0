"""
Straight-line code that waits without holding a thread.

A strand is a greenlet on an event loop: where its code waits, the loop serves others, and the code reads as it would
in a thread. Thousands wait at the price of their stack frames, and no two run at once, so nobody waits for the
interpreter. The same code runs in a plain thread, too, and then blocks it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

Result = TypeVar("Result")


class Strands:
    """The strands of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: Executor) -> None:
        """
        Args:
            loop: Runs them.
            threads: Run what would block the loop.
        """
        self.loop = loop
        self.threads = threads
        self._ready: deque[asyncio.Future[bool]] = deque()
        self._is_told = False

    async def run(self, code: Callable[[], Result]) -> Result:
        """What *code* returns or raises; its waits are this coroutine's."""
        strand = _Strand(self, code)
        given = strand.switch()
        while not strand.dead:
            try:
                told = await given
            except BaseException as error:  # noqa: BLE001  its own code decides; that the loop ends is among them
                given = strand.throw(error)
            else:
                given = strand.switch(told)
        return cast("Result", given)

    def wake(self, future: asyncio.Future[bool]) -> None:
        """From any thread: whoever waits for *future* goes on. The loop is told once for all that come together."""
        self._ready.append(future)
        if not self._is_told:
            self._is_told = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_told = False  # first: what is appended from here on tells the loop again
        while self._ready:
            future = self._ready.popleft()
            if not future.done():
                future.set_result(True)


class _Strand(greenlet):
    """One run of straight-line code."""

    def __init__(self, strands: Strands, code: Callable[[], object]) -> None:
        super().__init__(code)
        self.strands = strands

    def wait_for(self, future: asyncio.Future[Any]) -> Any:
        """Give the loop back until *future* has a result."""
        assert self.parent is not None
        return self.parent.switch(future)


def aside(code: Callable[[], Result], threads: Executor | None = None) -> Result:
    """What blocks, where it may: in one of *threads* while the strand waits, or here when this is no strand."""
    here = getcurrent()
    if not isinstance(here, _Strand):
        return code()
    strands = here.strands
    inside = copy_context().run  # what is logged there still names the request
    return cast("Result", here.wait_for(strands.loop.run_in_executor(threads or strands.threads, inside, code)))


class Latch:
    """Set once, from any thread; waited for once, by whoever made it."""

    __slots__ = ("_future", "_is_set", "_lock", "_strand")

    def __init__(self) -> None:
        here = getcurrent()
        self._is_set = False
        self._future: asyncio.Future[bool] | None = None
        self._strand: _Strand | None = None
        if isinstance(here, _Strand):
            self._strand = here
        else:  # a lock acquired at birth is the cheapest thing for a thread to wait on
            self._lock = threading.Lock()
            self._lock.acquire()

    def set(self) -> None:
        """Let whoever waits go on; once."""
        self._is_set = True
        if self._strand is None:
            self._lock.release()
        elif self._future is not None:
            self._strand.strands.wake(self._future)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set, *timeout_s* seconds at most; says whether it was."""
        if self._strand is None:
            return self._lock.acquire(timeout=max(0.0, timeout_s))
        loop = self._strand.strands.loop
        future = self._future = loop.create_future()
        if self._is_set:  # before, or in this very moment by a thread that may not have seen the future
            return True
        timer = loop.call_later(timeout_s, _give_up, future)
        try:
            self._strand.wait_for(future)
        finally:
            timer.cancel()
        return self._is_set


def _give_up(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)
