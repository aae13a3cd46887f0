"""
The front door of an ingress process: `granian --interface rsgi --factory ingress.server:create`.

Granian hands each request to an event loop; Flask, which knows only threads, answers on it as a strand
(:mod:`shared.strand`): what waits for a commit holds no thread. What is long or rare runs in one of a few threads.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]  # imported to be so

from ingress import bodies, events
from ingress.app import create_app
from ingress.environ import environ_of
from ingress.gate import BATCHES, CALLS, Gate, Leave, leave_with, nothing, submission_of
from ingress.lean import STREAMED, id_of, log_ids
from ingress.problems import Prepared
from ingress.site import build_site
from ingress.webhooks import PREFIX, shown_path
from shared import collector, lifeline, log
from shared.presence import Presence
from shared.services import build_services
from shared.settings import Settings
from shared.strand import Strands

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

#: A ring must cost a request nothing: longest wait for Redis, in seconds.
_REDIS_S: Final = 0.2
_BODILESS: Final = frozenset({"GET", "HEAD"})
#: What these do takes well under a millisecond of work, whatever they wait for.
_SHORT: Final = frozenset(
    {
        *((method, path) for method in _BODILESS for path in ("/healthz", events.PATH)),
        *(("POST", path) for path in CALLS),
    }
)
_READY: Final = "/readyz"
#: Other requests at work at once; the rest of them queue up. Short ones that must ask something have their own threads.
_THREADS: Final = 32
_ASIDE_THREADS: Final = 16
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
#: A piece of a long answer must be taken within so many seconds.
_SEND_S: Final = 30
#: A process that is to end answers on for so long, in seconds, and asks each client to connect anew, to another.
_LEAVING_S: Final = 2.0
_CLOSE: Final = ("connection", "close")
#: Status and headers.
Head = tuple[int, list[tuple[str, str]]]
#: The same and the body, or what gives it piece by piece.
Answer = tuple[*Head, bytes | Iterator[bytes]]

_BROKEN: Final = Prepared("invalid_json", "The body broke off, or its chunks are malformed.")
_TOO_SLOW: Final = Prepared("request_timeout", f"The body must be here within {_BODY_S} seconds.")
_REFUSED: Final = Prepared("overloaded", "Too many requests wait. Nothing was stored.", retry_after_s=1)
_FAILED: Final = Prepared("internal_error", "The fault is ours; it was logged.")

logger = structlog.get_logger()


def _pool(threads: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads run from the start: the process grows no more, and no burst waits for one to begin."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    all_there = threading.Barrier(threads)
    for _ in range(threads):
        pool.submit(all_there.wait)
    return pool


class Server:
    """The RSGI application."""

    def __init__(
        self, app: WSGIApplication, gate: Gate | None = None, let_go: Leave = nothing, at_end: Leave = nothing
    ) -> None:
        self._app, self._let_go, self._at_end = app, let_go, at_end
        self._gate = gate or Gate()
        self._threads = _pool(_THREADS, "request")
        self._strands: Strands | None = None
        #: Requests whose bodies are not all here, in the order they came, each with the loop's time of that, and what
        #: ends its wait.
        self._sending: dict[HTTPProtocol, tuple[float, Any]] = {}
        self._on_its_way = {False: 0, True: 0}  # bytes of long bodies, and of those to the webhooks
        self._is_leaving = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Granian tells on which loop requests will come."""
        self._strands = Strands(loop, _pool(_ASIDE_THREADS, "aside"))
        self._cut_off_slow_senders(loop)
        with suppress(NotImplementedError, RuntimeError, ValueError):  # a loop of tests, beside the main thread
            loop.add_signal_handler(signal.SIGTERM, self._leave, loop)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """Granian tells that no request will come any more."""
        self._at_end()

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """
        Granian closes idle connections at once when it is told to end, and a request may be on its way on one.

        To SIGINT it listens still, as it did to SIGTERM before.
        """
        if not self._is_leaving:
            self._is_leaving = True
            self._let_go()
            loop.call_later(_LEAVING_S, signal.raise_signal, signal.SIGINT)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request, in its turn."""
        path, method, headers = scope.path, scope.method, scope.headers  # each a copy made for whoever asks
        submission = submission_of(method, path, headers)
        if submission is not None and self._gate.refuses(submission):
            protocol.response_bytes(*_REFUSED.answer())
            return
        body = await self._read(path, method, headers.get("content-length"), protocol)
        if body is None:
            return
        environ = environ_of(scope, path, headers, body)
        leave = nothing if submission is None else await self._gate.enter(submission)
        if leave is None:
            protocol.response_bytes(*_REFUSED.answer())
            return
        leave_with(environ, leave)
        try:
            answer = await self._answer(environ)
        except Exception:  # what Flask's own handlers never saw
            logger.exception("request_failed", path=shown_path(path), request_id=id_of(environ))
            answer = _FAILED.answer(id_of(environ))
        finally:
            leave()
        status, told, content = answer
        if self._is_leaving:
            told.append(_CLOSE)
        if isinstance(content, bytes):
            protocol.response_bytes(status, told, content)
        else:
            await self._send((status, told), content, protocol)

    async def _send(self, head: Head, pieces: Iterator[bytes], protocol: HTTPProtocol) -> None:
        """A long answer, each piece made when the one before is on its way; whoever reads none of it is cut off."""
        assert self._strands is not None
        transport, loop = protocol.response_stream(*head), self._strands.loop
        try:
            while (piece := await loop.run_in_executor(self._threads, next, pieces, None)) is not None:
                await asyncio.wait_for(transport.send_bytes(piece), _SEND_S)
        except (ProtocolClosed, TimeoutError):
            logger.info("answer_not_read", request_id=dict(head[1]).get("x-request-id"))

    async def _read(self, path: str, method: str, announced: str | None, protocol: HTTPProtocol) -> bytes | None:
        """The body, or as much of it as shows that it is too long; None when the request is answered or given up."""
        assert self._strands is not None
        limit = _limit(path)
        if announced is None and method in _BODILESS:
            return b""
        if announced is not None and _number(announced) > limit:
            return b""  # the app sees what it was announced to be
        size = limit if announced is None else _number(announced)
        held = size if size > _LONG else 0
        is_report = path.startswith(PREFIX)  # strangers' bodies must not keep 8x8's out
        if held and self._on_its_way[is_report] + held > _MOST_ON_ITS_WAY:
            protocol.response_bytes(*_REFUSED.answer())
            return None
        self._on_its_way[is_report] += held
        try:
            if announced is None:
                body = await self._pieces(protocol, limit)
            else:
                whole: Any = protocol()  # no coroutine, whatever granian says: it can be cancelled
                self._sending[protocol] = (self._strands.loop.time(), whole)
                body = await whole
        except (ProtocolClosed, asyncio.CancelledError):
            body = None
        finally:
            self._on_its_way[is_report] -= held
            is_awaited = self._sending.pop(protocol, None) is not None
        if body is None and is_awaited:
            _refuse(protocol, _BROKEN)
        return body if is_awaited else None

    async def _pieces(self, protocol: HTTPProtocol, limit: int) -> bytes | None:
        """A body in chunks, or as much as shows that it is too long; None for one that breaks off or is malformed."""
        assert self._strands is not None
        read, began, has_ended = bytearray(), self._strands.loop.time(), False
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

    def _cut_off_slow_senders(self, loop: asyncio.AbstractEventLoop) -> None:
        """They hold no turn, but a connection. Looks again and again."""
        loop.call_later(_LOOK_S, self._cut_off_slow_senders, loop)
        for protocol, (since, waiting) in list(self._sending.items()):
            if loop.time() - since < _BODY_S:
                break
            del self._sending[protocol]
            _refuse(protocol, _TOO_SLOW)
            waiting.cancel()  # or the connection would stay open for as long as the rest of the body takes

    async def _answer(self, environ: WSGIEnvironment) -> Answer:
        assert self._strands is not None
        path = environ["PATH_INFO"]
        answer: Callable[[], Answer] = partial(_wsgi, self._app, environ)
        if (environ["REQUEST_METHOD"], path) in _SHORT or path.startswith(PREFIX):
            return await self._strands.run(answer)
        # Whether the process is ready must be known however many lists are read.
        threads = self._strands.threads if path == _READY else self._threads
        return await self._strands.loop.run_in_executor(threads, answer)


def _wsgi(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    told: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        told.append((status, headers))

    pieces = app(environ, start_response)
    status, headers = told[-1]
    head = int(status[:3]), [(name.lower(), value) for name, value in headers]
    if STREAMED in environ:
        return *head, iter(pieces)
    try:
        return *head, b"".join(pieces)
    finally:
        if (close := getattr(pieces, "close", None)) is not None:
            close()


def _limit(path: str) -> int:
    return bodies.WEBHOOK_LIMIT if path.startswith(PREFIX) else _LIMITS.get(path, _OTHER_LIMIT)


def _number(announced: str) -> int:
    """A Content-Length that granian let pass, exact as far as any limit goes."""
    digits = announced.lstrip("0")[:_DIGITS]
    return int(digits) if digits.isdecimal() else 0


def _refuse(protocol: HTTPProtocol, answer: Prepared) -> None:
    """Of what is still to come on the connection nobody knows what it is."""
    status, headers, body = answer.answer()
    protocol.response_bytes(status, [*headers, _CLOSE], body)


def create() -> Server:
    """Wire this process."""
    lifeline.die_with_parent()
    _allow_connections()
    settings = Settings.load()
    log.configure(settings.log_format, settings.log_level, log_ids)
    site = build_site(build_services(settings, application="ringpost-web", redis_timeout_s=_REDIS_S))
    presence = Presence(site.services.database, "web")

    def leave() -> None:
        site.leaving.set()
        site.feeds.leave()
        threading.Thread(target=presence.end, name="presence-end", daemon=True).start()  # the loop must not wait

    tracer = site.services.tracer
    server = Server(create_app(site), let_go=leave, at_end=nothing if tracer is None else tracer.close)
    presence.begin()
    collector.spare_the_living()
    return server


def _allow_connections() -> None:
    """As many open files as this process may have: each connection is one, and 1024 are usual."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
