"""The provider's side of the load: sends messages at random moments, or as fast as so many connections carry them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from deploy.bench.load.ledger import Ledger
from deploy.bench.load.wire import Exchange, Lines, post

_OK: Final = range(200, 300)
_SHORTEST_SLEEP_S: Final = 0.0005
_REFUSED: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    What to send, and how.

    ``body`` has ``{id}``, ``{phone}`` and ``{number}`` where the message's go. With a ``rate`` the messages come at
    random moments, so many a second, whether or not earlier ones were answered: their latency counts from the moment
    that was drawn. Without, each of ``connections`` sends its next message when its last one was answered.
    """

    prefix: str
    first_phone: int
    count: int
    url: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 32
    rate: float = 0.0
    timeout_s: float = 30.0
    seed: int = 1

    def requests(self, ledger: Ledger) -> list[bytes]:
        """Every request, made beforehand."""
        made = []
        for number in range(self.count):
            text = self.body.replace("{id}", ledger.message_id(number)).replace("{number}", str(number))
            made.append(post(self.url, text.replace("{phone}", str(self.first_phone + number)).encode(), self.headers))
        return made


class Submitter:
    """One load under way."""

    def __init__(self, load: Load, ledger: Ledger, progress: Callable[[int], None]) -> None:
        self._load = load
        self._ledger = ledger
        self._progress = progress
        self._requests = load.requests(ledger)
        self._lines = Lines(load.url, load.connections, load.timeout_s)
        self._answered = 0
        self._next = 0
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Send everything; returns when every request has ended."""
        spent = time.process_time()
        if self._load.rate:
            await self._send_at_random()
        else:
            for _ in range(min(self._load.connections, self._load.count)):
                self._send(time.monotonic())
        await self._over.wait()
        self._lines.close()
        self._ledger.spent_s += time.process_time() - spent

    def _send(self, due: float) -> None:
        number = self._next
        self._next += 1
        self._ledger.note("due", number, due)
        self._lines.put(Exchange(self._requests[number], self._done, number))

    async def _send_at_random(self) -> None:
        luck = random.Random(self._load.seed)  # noqa: S311  arrivals, no secrets
        due = time.monotonic()
        for _ in range(self._load.count):
            due += luck.expovariate(self._load.rate)
            while (early_s := due - time.monotonic()) > 0:  # noqa: ASYNC110  the clock is what is waited for
                await asyncio.sleep(max(_SHORTEST_SLEEP_S, early_s))
            self._send(due)
            if self._next % 64 == 0:
                await asyncio.sleep(0)  # answers are read also while we are late

    def _done(self, exchange: Exchange) -> None:
        ledger = self._ledger
        ledger.statuses[exchange.status] += 1
        if exchange.sent_at:
            ledger.lateness.append(exchange.sent_at - ledger.moments["due"][exchange.number])
        if exchange.status in _OK:
            ledger.note("accepted", exchange.number, exchange.ended_at)
        elif exchange.status in _REFUSED:
            ledger.refusals.append(exchange.ended_at - exchange.sent_at)
            ledger.refused_without_retry_after += b"retry-after:" not in exchange.answer.lower()
        self._answered += 1
        if self._answered % 100 == 0:
            self._progress(self._answered)
        if self._answered == self._load.count:
            self._over.set()
        elif not self._load.rate and self._next < self._load.count:
            self._send(time.monotonic())
