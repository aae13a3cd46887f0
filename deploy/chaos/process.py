"""The proxy's own process: fronts on an event loop, told over a socket that it got from its parent."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.chaos.faults import Fault, FaultError
from deploy.chaos.relay import Front
from shared import lifeline


class Control:
    """A line of JSON in, a line of JSON out."""

    def __init__(self, seed: int, timeline: Path) -> None:
        self._seed = seed
        self._timeline = timeline.open("a", encoding="utf-8", buffering=1)
        self._fronts: dict[str, Front] = {}

    def tell(self, **said: Any) -> None:
        """Write a line of the timeline."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._timeline.write(json.dumps({"at": at, **said}) + "\n")

    async def answer(self, line: bytes) -> dict[str, Any]:
        """Do what was asked for."""
        asked = json.loads(line)
        try:
            return {"done": await self._do(asked)}
        except (FaultError, OSError) as error:
            return {"error": str(error)}

    async def _do(self, asked: dict[str, Any]) -> Any:
        if asked["do"] == "counts":
            return {name: dict(front.counts) for name, front in self._fronts.items()}
        name = asked["name"]
        if asked["do"] == "front":
            if name in self._fronts:
                raise FaultError(f"there is a front {name!r} already")
            front = Front(name, asked["upstream"], self._seed, self.tell)
            await front.listen()
            self._fronts[name] = front
            return front.port
        if name not in self._fronts:
            raise FaultError(f"there is no front {name!r}; there are {', '.join(self._fronts)}")
        faults = [Fault.from_json(one) for one in asked["faults"]]
        await self._fronts[name].set(faults)
        self.tell(event="set", front=name, faults=[fault.as_json() for fault in faults])
        return None


async def serve(control: Control, channel: socket.socket) -> None:
    """Until the parent lets go of its end."""
    reader, writer = await asyncio.open_connection(sock=channel)
    while line := await reader.readline():
        writer.write(json.dumps(await control.answer(line)).encode() + b"\n")
        await writer.drain()


def main() -> None:
    """Arguments: the control socket's descriptor, the parent's pid, the seed, the timeline's file."""
    descriptor, parent, seed, timeline = sys.argv[1:]
    lifeline.die_with_parent(parent=int(parent))
    asyncio.run(serve(Control(int(seed), Path(timeline)), socket.socket(fileno=int(descriptor))))
    os._exit(0)  # held connections are let go of, not waited for


if __name__ == "__main__":
    main()
