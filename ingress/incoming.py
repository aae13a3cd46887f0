"""Bodies on their way here: read as far as may be, and their senders cut off when they take too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from granian.rsgi import HTTPProtocol, ProtocolClosed  # type: ignore[attr-defined]  # imported to be so

from ingress import bodies
from ingress.gate import BATCHES, CALLS
from ingress.problems import Prepared
from ingress.webhooks import PREFIX

_BODILESS: Final = frozenset({"GET", "HEAD"})
#: The longest body in bytes, by path: a longer one is left unread. No route of another path takes one worth mentioning.
_LIMITS: Final = dict.fromkeys(CALLS, bodies.CALL_LIMIT) | dict.fromkeys(BATCHES, bodies.BATCH_LIMIT)
_OTHER_LIMIT: Final = 64 * 1024
_DIGITS: Final = 12
#: Longer than most, in bytes, and as much of such bodies as may be on its way at once: nobody knows yet who sends them.
_LONG: Final = bodies.CALL_LIMIT
_MOST_ON_ITS_WAY: Final = 64 * 1024 * 1024
#: A body must be here after so many seconds; looked at every so many.
_BODY_S: Final = 20
_LOOK_S: Final = 1

_BROKEN: Final = Prepared("invalid_json", "The body broke off, or its chunks are malformed.", closes=True)
_TOO_SLOW: Final = Prepared("request_timeout", f"The body must be here within {_BODY_S} seconds.", closes=True)
OVERLOADED: Final = Prepared("overloaded", "Too many requests wait. Nothing was stored.", retry_after_s=1)


class Incoming:
    """Of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, refuse: Callable[[HTTPProtocol, Prepared], None]) -> None:
        """
        Args:
            loop: Where the requests come.
            refuse: Answers one with an error.
        """
        self._loop = loop
        self._refuse = refuse
        #: Requests whose bodies are not all here, in the order they came, each with the loop's time of that, and what
        #: ends its wait.
        self._sending: dict[HTTPProtocol, tuple[float, Any]] = {}
        self._on_its_way = {False: 0, True: 0}  # bytes of long bodies, and of those to the webhooks
        self._cut_off_slow_senders()

    async def read(self, path: str, method: str, announced: str | None, protocol: HTTPProtocol) -> bytes | None:
        """The body, or as much of it as shows that it is too long; None when the request is answered or given up."""
        limit = _limit(path)
        if announced is None and method in _BODILESS:
            return b""
        if announced is not None and _number(announced) > limit:
            return b""  # the app sees what it was announced to be
        size = limit if announced is None else _number(announced)
        held = size if size > _LONG else 0
        is_report = path.startswith(PREFIX)  # strangers' bodies must not keep 8x8's out
        if held and self._on_its_way[is_report] + held > _MOST_ON_ITS_WAY:
            self._refuse(protocol, OVERLOADED)
            return None
        self._on_its_way[is_report] += held
        try:
            if announced is None:
                body = await self._pieces(protocol, limit)
            else:
                whole: Any = protocol()  # no coroutine, whatever granian says: it can be cancelled
                self._sending[protocol] = (self._loop.time(), whole)
                body = await whole
        except (ProtocolClosed, asyncio.CancelledError):
            body = None
        finally:
            self._on_its_way[is_report] -= held
            is_awaited = self._sending.pop(protocol, None) is not None
        if body is None and is_awaited:
            self._refuse(protocol, _BROKEN)
        return body if is_awaited else None

    async def _pieces(self, protocol: HTTPProtocol, limit: int) -> bytes | None:
        """A body in chunks, or as much as shows that it is too long; None for one that breaks off or is malformed."""
        read, began, has_ended = bytearray(), self._loop.time(), False
        pieces = aiter(protocol)
        while len(read) <= limit:
            try:
                piece = pieces.__anext__()
                self._sending[protocol] = (began, piece)
                chunk = await piece
            except StopAsyncIteration:
                break
            if protocol not in self._sending:  # cut off meanwhile
                return None
            if has_ended:  # granian gives an empty piece for the end, and one more before it for an error
                return None
            has_ended = not chunk
            read += chunk
        return bytes(read)

    def _cut_off_slow_senders(self) -> None:
        """They hold no turn, but a connection. Looks again and again."""
        self._loop.call_later(_LOOK_S, self._cut_off_slow_senders)
        for protocol, (since, waiting) in list(self._sending.items()):
            if self._loop.time() - since < _BODY_S:
                break
            del self._sending[protocol]
            self._refuse(protocol, _TOO_SLOW)
            waiting.cancel()  # or the connection would stay open for as long as the rest of the body takes


def _limit(path: str) -> int:
    return bodies.WEBHOOK_LIMIT if path.startswith(PREFIX) else _LIMITS.get(path, _OTHER_LIMIT)


def _number(announced: str) -> int:
    """A Content-Length that granian let pass, exact as far as any limit goes."""
    digits = announced.lstrip("0")[:_DIGITS]
    return int(digits) if digits.isdecimal() else 0
