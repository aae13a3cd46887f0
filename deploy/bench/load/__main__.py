"""
``python -m deploy.bench.load``: the generator, driven by JSON lines on its standard input.

Each line is ``{"call": N, "do": NAME, …}``; each is answered by ``{"call": N, "result": …}`` or ``"error"``, in the
order in which they end. Calls may overlap. ``{"call": N, "progress": COUNT}`` comes in between.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any, Final

import uvloop

from deploy.bench.figures import per_second
from deploy.bench.load.ledger import Ledger, Ledgers
from deploy.bench.load.receivers import Receiver
from deploy.bench.load.submitter import Load, Submitter
from deploy.bench.load.voice import Voice, World
from deploy.bench.load.wire import Handler, Listener
from shared import lifeline

_LOOK_S: Final = 0.02
_LONGEST_LINE: Final = 2**24

#: Tells how far the call under way has come.
_progress: ContextVar[Callable[[int], None]] = ContextVar("progress")


class Control:
    """The generator's commands, each a method."""

    def __init__(self) -> None:
        self._ledgers = Ledgers()
        self._open: dict[str, Ledger] = {}
        self._voice = Voice(self._ledgers)
        self._receivers: list[Receiver] = []

    async def listen(self, delays_s: list[float]) -> dict[str, Any]:
        """Open 8x8's port and one for each receiver."""
        for delay_s in delays_s:
            receiver = Receiver(self._ledgers, delay_s)
            receiver.port = await _listen(receiver.handle)
            self._receivers.append(receiver)
        voice = await _listen(self._voice.handle)
        return {"voice": voice, "receivers": [receiver.port for receiver in self._receivers]}

    async def become(self, **world: Any) -> dict[str, Any]:
        """Let 8x8 behave so from now on."""
        self._voice.become(World(**world))
        return {}

    async def seen(self) -> dict[str, int]:
        """What 8x8 has seen since it last changed."""
        return dict(self._voice.seen)

    async def submit(self, **wanted: Any) -> dict[str, Any]:
        """Send a load and return when each request has ended."""
        load = Load(**wanted)
        ledger = self._start(load.prefix, load.first_phone, load.count)
        await Submitter(load, ledger, _progress.get()).run()
        return asdict(ledger.report())

    async def expect(self, prefix: str, first_phone: int, count: int) -> dict[str, Any]:
        """Open a ledger for messages that come in another way."""
        self._start(prefix, first_phone, count)
        return {}

    async def watch(self, prefix: str, moment: str, quiet_s: float) -> dict[str, Any]:
        """Return when every accepted message has come to *moment*, or nothing has happened for *quiet_s*."""
        ledger = self._open[prefix]
        wanted, tell = ledger.done["accepted"] or ledger.count, _progress.get()
        spent = time.process_time()
        ledger.changed_at = max(ledger.changed_at, time.monotonic())
        while ledger.done[moment] < wanted and time.monotonic() < ledger.changed_at + quiet_s:
            await asyncio.sleep(_LOOK_S)
            tell(ledger.done[moment])
        ledger.spent_s += time.process_time() - spent
        return asdict(ledger.report())

    async def report(self, prefix: str) -> dict[str, Any]:
        """What a load has come to so far."""
        return asdict(self._open[prefix].report())

    async def samples(self, prefix: str, latency: str) -> list[float]:
        """Every measured value of one of a load's latencies."""
        return [*self._open[prefix].samples(latency)]

    async def forget(self, prefix: str) -> dict[str, Any]:
        """Close a ledger."""
        self._ledgers.forget(self._open.pop(prefix))
        return {}

    async def arrivals(self) -> list[dict[str, Any]]:
        """How many callbacks each receiver got since this was last asked, and how many a second."""
        told = [{"count": len(one.arrivals), "rate": per_second(one.arrivals)} for one in self._receivers]
        for one in self._receivers:
            del one.arrivals[:]
        return told

    def _start(self, prefix: str, first_phone: int, count: int) -> Ledger:
        ledger = self._ledgers.open(Ledger(prefix, first_phone, count))
        self._open[prefix] = ledger
        return ledger


async def _listen(handle: Handler) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Listener(handle), "127.0.0.1", 0, backlog=4096)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _answer(control: Control, asked: dict[str, Any]) -> None:
    call, name = asked.pop("call"), asked.pop("do")
    _progress.set(lambda count: print(json.dumps({"call": call, "progress": count}), flush=True))
    try:
        told = {"call": call, "result": await getattr(control, name)(**asked)}
    except Exception as error:  # noqa: BLE001  whoever asked must hear of it
        told = {"call": call, "error": f"{name}: {type(error).__name__}: {error}"}
    print(json.dumps(told), flush=True)


async def _serve() -> None:
    # What a load allocates lives as long as the load; looking for garbage would only show as latency.
    gc.disable()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    control = Control()
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.get_running_loop().create_task(_answer(control, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    lifeline.watch_parent()
    uvloop.run(_serve())
