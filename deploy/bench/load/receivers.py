"""The providers' callback receivers, each on a port of its own: fast, slow, or never answering."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from dataclasses import dataclass, field
from typing import Final

from deploy.bench.load.ledger import Ledgers
from deploy.bench.load.wire import Listener, response

_MESSAGE_ID: Final = re.compile(rb'"messageId":\s?"(\w+)-(\d+)"')
_OK: Final = response(200, b"{}")
HANGS: Final = -1.0


@dataclass(slots=True)
class Receiver:
    """One receiver: answers after ``delay_s`` seconds, 0 at once, ``HANGS`` never."""

    ledgers: Ledgers
    delay_s: float = 0.0
    port: int = 0
    arrivals: array[float] = field(default_factory=lambda: array("d"))

    def handle(self, listener: Listener, _url: bytes, body: bytes) -> None:
        """One callback."""
        at = time.monotonic()
        self.arrivals.append(at)
        found = _MESSAGE_ID.search(body)
        if found and (ledger := self.ledgers.of_id(found[1])) and (number := int(found[2])) < ledger.count:
            ledger.callbacks[number] += 1
            ledger.note("called", number, at)
        if self.delay_s == 0:
            listener.reply(_OK)
        elif self.delay_s > 0:
            asyncio.get_running_loop().call_later(self.delay_s, listener.reply, _OK)
