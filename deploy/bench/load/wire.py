"""HTTP/1.1 in as few steps as Python allows: what the generator costs must not show in what it measures."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import httptools

#: Called with the connection, the path and the body of each request; answers now or later.
Handler = Callable[["Listener", bytes, bytes], None]
#: Called with the exchange when it has ended.
Done = Callable[["Exchange"], None]

NOTHING_SENT: Final = 0  # the status of an exchange that got no answer
_LOOK_S: Final = 0.5
_CONNECT_TRIES: Final = 40
_CONNECT_PAUSE_S: Final = 0.05


def response(status: int, body: bytes) -> bytes:
    """A whole response with a JSON body."""
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A whole POST with a JSON body."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Listener(asyncio.Protocol):
    """One connection that somebody opened to us. Requests are handled one at a time, as HTTP/1.1 clients send them."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's own class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """From asyncio."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_url(self, url: bytes) -> None:
        """From the parser, possibly in parts."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """From the parser, possibly in parts."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """From the parser."""
        url, body = self._url, self._body
        self._url, self._body = b"", []
        self._handle(self, url, body[0] if len(body) == 1 else b"".join(body))

    def reply(self, whole: bytes) -> None:
        """Send a whole response, if anybody still listens."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(whole)


class Exchange:
    """One request of ours and what came of it."""

    __slots__ = ("answer", "done", "ended_at", "number", "raw", "sent_at", "status", "tries")

    def __init__(self, raw: bytes, done: Done, number: int = 0) -> None:
        self.raw = raw
        self.done = done
        self.number = number
        self.sent_at = self.ended_at = 0.0
        self.status = NOTHING_SENT
        self.answer = b""  # the last packet of the response
        self.tries = 0


class _Line(asyncio.Protocol):
    """One connection of ours, with one exchange at a time."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.exchange: Exchange | None = None
        self._is_fresh = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's own class

    def send(self, exchange: Exchange) -> None:
        self.exchange = exchange
        exchange.sent_at = time.monotonic()
        assert self._transport is not None
        self._transport.write(exchange.raw)

    def data_received(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.answer = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        self._is_fresh = False
        exchange.status = self._parser.get_status_code()
        exchange.ended_at = time.monotonic()
        if self._parser.should_keep_alive():
            self._lines.give_back(self)
        else:
            self.close()
        exchange.done(exchange)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._transport = None
        exchange, self.exchange = self.exchange, None
        self._lines.lost(self)
        if exchange is None:
            return
        if not self._is_fresh and not exchange.answer and exchange.tries == 0:
            exchange.tries += 1  # a kept connection that the server closed meanwhile
            self._lines.put(exchange)
            return
        exchange.ended_at = time.monotonic()
        exchange.done(exchange)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Lines:
    """Connections to one address: at most so many, opened when needed; what finds none free waits in order."""

    def __init__(self, url: str, most: int, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._most = most
        self._timeout_s = timeout_s
        self._idle: list[_Line] = []
        self._open: set[_Line] = set()
        self._opening = 0
        self._waiting: deque[Exchange] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def put(self, exchange: Exchange) -> None:
        """Send it now, or as soon as a connection is free."""
        if self._idle:
            self._idle.pop().send(exchange)
            return
        self._waiting.append(exchange)
        if len(self._open) + self._opening < self._most and self._opening < len(self._waiting):
            self._opening += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Hang up; what is under way ends without an answer."""
        self._watch.cancel()
        for line in [*self._open]:
            line.close()

    def give_back(self, line: _Line) -> None:
        """A line whose exchange has ended takes the next."""
        if self._waiting:
            line.send(self._waiting.popleft())
        else:
            self._idle.append(line)

    def lost(self, line: _Line) -> None:
        """A line that is no more."""
        self._open.discard(line)
        if line in self._idle:
            self._idle.remove(line)
        if self._waiting:
            self.put(self._waiting.popleft())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for _ in range(_CONNECT_TRIES):
                try:
                    _, line = await loop.create_connection(lambda: _Line(self), *self._address)
                except OSError:
                    await asyncio.sleep(_CONNECT_PAUSE_S)
                    continue
                self._open.add(line)
                self.give_back(line)
                return
        finally:
            self._opening -= 1
        while self._waiting:
            exchange = self._waiting.popleft()
            exchange.ended_at = time.monotonic()
            exchange.done(exchange)

    def _look(self) -> None:
        """Give up what has had no answer for too long."""
        late = time.monotonic() - self._timeout_s
        for line in [*self._open]:
            if line.exchange is not None and line.exchange.sent_at < late:
                line.close()
        self._watch = asyncio.get_running_loop().call_later(_LOOK_S, self._look)
