"""
``python -m deploy.chaos.receiver``: a provider's callback receiver as a process of its own, with a ledger on disk.

It takes ``{"port", "secrets", "ledger"}`` as a line from standard input, then, at any time, lines that say by path how
to misbehave from then on: ``{"/drip": {"kind": "drip"}}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from deploy.chaos.records import Delivery
from deploy.receiver import Inbox, Mode, ModeKind, Received
from deploy.simulator.hosting import serve_until_stopped
from shared import lifeline


def entry(received: Received) -> dict[str, Any]:
    """A request as the ledger has it."""
    try:
        body = received.json()
        told = {"type": body["type"], "message": body["data"]["messageId"], "status": body["data"]["status"]}
    except (ValueError, KeyError, TypeError):
        told = {"type": "", "message": "", "status": ""}
    webhook_id = received.headers.get("webhook-id", "")
    return {"at": received.at.timestamp(), "id": webhook_id, "verified": received.is_verified is True, **told}


def read_ledger(lines: Iterable[str]) -> tuple[Delivery, ...]:
    """Every request that a receiver wrote down."""
    return tuple(
        Delivery(
            webhook_id=known["id"],
            message_id=known["message"],
            type=known["type"],
            status=known["status"],
            at=known["at"],
            is_verified=known["verified"],
        )
        for known in map(json.loads, lines)
    )


def _keeper(ledger: TextIO) -> Callable[[Received], None]:
    def keep(received: Received) -> None:
        ledger.write(json.dumps(entry(received)) + "\n")

    return keep


def main() -> None:
    """Serve until SIGTERM."""
    asked = json.loads(sys.stdin.readline())
    with Path(asked["ledger"]).open("a", buffering=1) as ledger:
        inbox = Inbox({path: tuple(secrets) for path, secrets in asked["secrets"].items()}, _keeper(ledger))
        inbox.received = _Forgotten()
        asyncio.run(_serve(inbox, asked["port"]))


async def _serve(inbox: Inbox, port: int) -> None:
    loop = asyncio.get_running_loop()

    def heed(line: str) -> None:
        for path, mode in json.loads(line).items():
            inbox.set_mode(path, Mode(**mode | {"kind": ModeKind(mode["kind"])}))

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(heed, line)

    threading.Thread(target=listen, name="modes", daemon=True).start()
    await serve_until_stopped(inbox.make_app(), "127.0.0.1", port, "receiver")


class _Forgotten(list[Received]):
    """What is on disk need not stay in memory."""

    def append(self, received: Received, /) -> None:
        """Let it go."""


if __name__ == "__main__":
    lifeline.watch_parent()
    main()
