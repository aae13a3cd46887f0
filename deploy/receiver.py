"""
A provider's callback receiver: keeps what arrives, checks its signature, and misbehaves on request.

``ringpost dev`` prints callbacks with it; tests and drills use it to be slow, hostile or away.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from deploy.simulator.hosting import ThreadedServer, serve_until_stopped

ANY_PATH: Final = "*"  # secrets under this name hold for every path without its own
_NEVER_S: Final = 3600.0
_BLOCK: Final = b"0" * 65536
_BOMB_BYTES: Final = 64 * 1024 * 1024  # unpacked; about 64 KB on the wire


class ModeKind(StrEnum):
    """How a path answers."""

    OK = "ok"  # 200, or 401 when the signature is wrong
    STATUS = "status"  # a fixed status
    REDIRECT = "redirect"  # 302 to ``location``; a visit there is kept, too
    SLOW = "slow"  # as ok, after ``seconds``
    HANG = "hang"  # never
    DRIP = "drip"  # one byte every ``seconds``
    ENDLESS = "endless"  # a body without end
    GZIP_BOMB = "gzip_bomb"  # a small body that unpacks to 64 MB
    CLOSE = "close"  # the connection ends without a reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One path's behaviour; after ``times`` requests (None: always) the path is ok again."""

    kind: ModeKind = ModeKind.OK
    status: int = 200
    seconds: float = 0.5
    retry_after_s: int | None = None
    location: str = "/redirected"
    body: bytes = b""  # of ok, slow and status
    times: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request. ``is_verified`` is None where no secret was given."""

    at: datetime
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    is_verified: bool | None

    def json(self) -> Any:
        """Parse the body; raises ``ValueError`` when it is not JSON."""
        return json.loads(self.body)


def is_signed(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
    """Whether one of the secrets made the Standard Webhooks signature; malformed headers count as no."""
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue
        return True
    return False


def one_line(received: Received) -> str:
    """Describe a callback for a terminal."""
    verdict = {True: "verified", False: "NOT VERIFIED", None: "unchecked"}[received.is_verified]
    try:
        body = received.json()
        data = body["data"]
        told = f"{body['type']} {data['messageId']} {data['status']}"
    except (ValueError, KeyError, TypeError):
        told = f"{len(received.body)} bytes"
    return f"{received.at:%H:%M:%S} callback {verdict} {received.path} {told}"


class Inbox:
    """What has arrived, and how each path answers. Written by the loop, read by any thread."""

    def __init__(self, secrets: Mapping[str, Sequence[str]], tell: Callable[[Received], None] | None) -> None:
        self.received: list[Received] = []
        self.secrets = {path: tuple(values) for path, values in secrets.items()}
        self.changed = threading.Condition()
        self._modes: dict[str, tuple[Mode, int]] = {}  # with the requests answered so far
        self._tell = tell

    def set_mode(self, path: str, mode: Mode) -> None:
        """Let *path* answer this way from now on."""
        self._modes[path] = (mode, 0)

    def keep(self, received: Received) -> None:
        """Write a request down."""
        with self.changed:
            self.received.append(received)
            self.changed.notify_all()
        if self._tell is not None:
            self._tell(received)

    def next_mode(self, path: str) -> Mode:
        """Return how *path* answers this request, and count it; ``ANY_PATH``'s way where it has none of its own."""
        path = path if path in self._modes else ANY_PATH
        mode, answered = self._modes.get(path, (Mode(), 0))
        if mode.times is not None and answered >= mode.times:
            return Mode()
        self._modes[path] = (mode, answered + 1)
        return mode

    def make_app(self) -> web.Application:
        """Serve every path and method."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        secrets = self.secrets.get(request.path, self.secrets.get(ANY_PATH))
        is_verified = None if secrets is None else is_signed(body, request.headers, secrets)
        received = Received(
            at=datetime.now(UTC),
            method=request.method,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            is_verified=is_verified,
        )
        mode = self.next_mode(request.path)
        self.keep(received)
        return await _answer(request, mode, is_refused=is_verified is False)


async def _answer(request: web.Request, mode: Mode, *, is_refused: bool) -> web.StreamResponse:
    if mode.kind in (ModeKind.SLOW, ModeKind.HANG):
        await asyncio.sleep(mode.seconds if mode.kind is ModeKind.SLOW else _NEVER_S)
    elif mode.kind in (ModeKind.DRIP, ModeKind.ENDLESS):
        return await _stream(request, _drops(mode.seconds) if mode.kind is ModeKind.DRIP else _blocks())
    elif mode.kind is ModeKind.CLOSE and request.transport is not None:
        request.transport.close()
    elif mode.kind is ModeKind.GZIP_BOMB:
        return web.Response(body=_bomb(), headers={"Content-Encoding": "gzip"})
    elif mode.kind is ModeKind.REDIRECT:
        return web.Response(status=302, headers={"Location": mode.location})
    elif mode.kind is ModeKind.STATUS:
        wait = {} if mode.retry_after_s is None else {"Retry-After": str(mode.retry_after_s)}
        return web.Response(status=mode.status, headers=wait, body=mode.body)
    return web.Response(status=401 if is_refused else 200, body=mode.body)


async def _stream(request: web.Request, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send *blocks* until they end or the client has had enough."""
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        async for block in blocks:
            await response.write(block)
    except ConnectionError:
        pass  # the client hung up, which is the right thing to do
    finally:
        if request.transport is not None:
            request.transport.abort()  # a close would wait until the unread rest is read
    return response


async def _drops(gap_s: float) -> AsyncIterator[bytes]:
    while True:
        yield b"."
        await asyncio.sleep(gap_s)


async def _blocks() -> AsyncIterator[bytes]:
    while True:
        yield _BLOCK
        await asyncio.sleep(0)  # others are served meanwhile


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB_BYTES))


class Receiver:
    """A receiver in its own thread, as a context manager; *secrets* are by path, or under ``ANY_PATH``."""

    def __init__(
        self, secrets: Mapping[str, Sequence[str]] | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._inbox = Inbox(secrets or {}, None)
        self._server = ThreadedServer(self._inbox.make_app, host, port, "receiver")
        self.url = ""

    @property
    def received(self) -> list[Received]:
        """Every request so far, oldest first."""
        return list(self._inbox.received)

    def __enter__(self) -> Self:
        self.url = self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def set_mode(self, path: str, mode: Mode) -> None:
        """Let *path* answer this way from now on."""
        self._server.call(lambda: self._inbox.set_mode(path, mode))

    def set_secrets(self, path: str, secrets: Sequence[str]) -> None:
        """Check signatures on *path* against any of these from now on."""
        self._server.call(lambda: self._inbox.secrets.update({path: tuple(secrets)}))

    def wait_for(self, predicate: Callable[[list[Received]], bool], timeout_s: float = 5.0) -> list[Received]:
        """
        Block until *predicate* holds of what was received, and return that.

        Raises:
            TimeoutError: it did not hold within *timeout_s*.
        """
        inbox = self._inbox
        with inbox.changed:
            if not inbox.changed.wait_for(lambda: predicate(inbox.received), timeout_s):
                raise TimeoutError(f"not within {timeout_s} s; received {inbox.received}")
            return list(inbox.received)


def run(host: str, port: int, secrets: Mapping[str, Sequence[str]]) -> None:
    """Serve until SIGTERM or SIGINT and print each callback as one line. ``OSError``: the port is taken."""

    async def serve() -> None:
        inbox = Inbox(secrets, lambda received: print(one_line(received), flush=True))
        await serve_until_stopped(inbox.make_app(), host, port, "receiver")

    asyncio.run(serve())
