"""
``python -m deploy.chaos.load``: a sender as a process of its own, at a steady pace whatever becomes of its requests.

Reads its :class:`Order` as JSON from standard input, and says on standard output how many messages were accepted. What
was not accepted it sends again with the same ``messageId``, which is what makes that safe.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from deploy.chaos.history import History
from deploy.chaos.records import Kind, Outcome
from deploy.chaos.traffic import Traffic
from shared import lifeline

#: Codes of a 503 by which a request surely stored nothing.
_UNREAD: Final = frozenset({"overloaded", "deadline_unreachable"})
_TELL_EVERY: Final = 20
_REFUSALS: Final = range(400, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to send, to whom, how fast, and where to write it down."""

    url: str
    headers: Mapping[str, str]
    history: str
    began: float
    rate: float  # messages a second
    prefix: str
    first: int
    count: int
    seed: int
    ttl_s: int
    is_mixed: bool
    text: str = "Code 4, 0, 7."
    repeats: bool = True  # False: what was not accepted at once is given up
    patience_s: float = 60.0  # of one message
    timeout_s: float = 10.0  # of one request
    pause_s: float = 0.2  # between two requests of one message

    @property
    def traffic(self) -> Traffic:
        """The messages."""
        return Traffic(
            prefix=self.prefix, first=self.first, count=self.count, seed=self.seed, ttl_s=self.ttl_s,
            is_mixed=self.is_mixed, text=self.text,
        )  # fmt: skip

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


class Sender:
    """One order under way."""

    def __init__(self, order: Order, history: History, http: aiohttp.ClientSession) -> None:
        self._order = order
        self._history = history
        self._http = http
        self._accepted = 0

    async def run(self) -> None:
        """Send everything; returns when each message was accepted or given up."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for place, body in enumerate(self._order.traffic.messages()):
                await asyncio.sleep(began + place / self._order.rate - time.monotonic())
                group.create_task(self._send(body))

    async def _send(self, body: dict[str, Any]) -> None:
        give_up_at = time.monotonic() + self._order.patience_s
        while await self._ask(body) is not Outcome.OK:
            if not self._order.repeats or time.monotonic() > give_up_at:
                return
            await asyncio.sleep(self._order.pause_s)
        self._accepted += 1
        if self._accepted % _TELL_EVERY == 0 or self._accepted == self._order.count:
            print(self._accepted, flush=True)

    async def _ask(self, body: dict[str, Any]) -> Outcome:
        asked_at = time.monotonic()
        known: dict[str, Any] = {"message": body["messageId"], "to": body["customerPhone"]}
        try:
            async with self._http.post(self._order.url, json=body) as answer:
                told = await answer.json(content_type=None)
                outcome = _outcome(answer.status, told)
                known["status"] = answer.status
            known |= {"id": told["data"]["id"]} if outcome is Outcome.OK else {"code": told.get("code")}
        except aiohttp.ClientConnectorError:
            outcome, known["error"] = Outcome.FAIL, "refused"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, AttributeError) as error:
            outcome, known["error"] = Outcome.INFO, type(error).__name__
        took_s = round(time.monotonic() - asked_at, 4)
        self._history.note(Kind.SUBMIT, outcome=outcome, took=took_s, **known)
        return outcome


def _outcome(status: int, told: Any) -> Outcome:
    if status == 200:
        return Outcome.OK
    is_unread = isinstance(told, dict) and told.get("code") in _UNREAD
    return Outcome.FAIL if status in _REFUSALS or is_unread else Outcome.INFO


async def _serve(order: Order) -> None:
    timeout = aiohttp.ClientTimeout(total=order.timeout_s)
    connector = aiohttp.TCPConnector(limit=256)
    with History(Path(order.history), order.began) as history:
        async with aiohttp.ClientSession(headers=order.headers, timeout=timeout, connector=connector) as http:
            await Sender(order, history, http).run()


if __name__ == "__main__":
    lifeline.watch_parent()
    asyncio.run(_serve(Order(**json.loads(sys.stdin.readline()))))
