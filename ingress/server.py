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

from ingress import events
from ingress.app import create_app
from ingress.environ import environ_of
from ingress.gate import CALLS, Gate, Leave, leave_with, nothing, submission_of
from ingress.incoming import OVERLOADED, Incoming
from ingress.lean import STREAMED, id_of, log_ids
from ingress.problems import Prepared
from ingress.request_counts import RequestCounts
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
#: A piece of a long answer must be taken within so many seconds.
_SEND_S: Final = 30
#: A process that is to end answers on for so long, in seconds, and asks each client to connect anew, to another.
_LEAVING_S: Final = 2.0
_CLOSE: Final = ("connection", "close")
#: Status and headers.
Head = tuple[int, list[tuple[str, str]]]
#: The same and the body, or what gives it piece by piece.
Answer = tuple[*Head, bytes | Iterator[bytes]]

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
        self,
        app: WSGIApplication,
        gate: Gate | None = None,
        let_go: Leave = nothing,
        at_end: Leave = nothing,
        counts: RequestCounts | None = None,
    ) -> None:
        self._app, self._let_go, self._at_end = app, let_go, at_end
        self._counts = counts
        self._gate = gate or Gate()
        self._threads = _pool(_THREADS, "request")
        self._strands: Strands | None = None
        self._incoming: Incoming | None = None
        self._is_leaving = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Granian tells on which loop requests will come."""
        self._strands = Strands(loop, _pool(_ASIDE_THREADS, "aside"))
        self._incoming = Incoming(loop, self._refuse)
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
            self._refuse(protocol, OVERLOADED)
            return
        assert self._incoming is not None
        body = await self._incoming.read(path, method, headers.get("content-length"), protocol)
        if body is None:
            return
        environ = environ_of(scope, path, headers, body)
        leave = nothing if submission is None else await self._gate.enter(submission)
        if leave is None:
            self._refuse(protocol, OVERLOADED)
            return
        leave_with(environ, leave)
        try:
            answer = await self._answer(environ)
        except Exception:  # what Flask's own handlers never saw
            logger.exception("request_failed", path=shown_path(path), request_id=id_of(environ))
            answer = _FAILED.answer(id_of(environ))
            self._count(_FAILED)
        finally:
            leave()
        status, told, content = answer
        if self._is_leaving:
            told.append(_CLOSE)
        if isinstance(content, bytes):
            protocol.response_bytes(status, told, content)
        else:
            await self._send((status, told), content, protocol)

    def _refuse(self, protocol: HTTPProtocol, refusal: Prepared) -> None:
        """Answer without the app."""
        protocol.response_bytes(*refusal.answer())
        self._count(refusal)

    def _count(self, refusal: Prepared) -> None:
        if self._counts is not None:
            self._counts.turned_away(refusal.status)

    async def _send(self, head: Head, pieces: Iterator[bytes], protocol: HTTPProtocol) -> None:
        """A long answer, each piece made when the one before is on its way; whoever reads none of it is cut off."""
        assert self._strands is not None
        transport, loop = protocol.response_stream(*head), self._strands.loop
        try:
            while (piece := await loop.run_in_executor(self._threads, next, pieces, None)) is not None:
                await asyncio.wait_for(transport.send_bytes(piece), _SEND_S)
        except (ProtocolClosed, TimeoutError):
            logger.info("answer_not_read", request_id=dict(head[1]).get("x-request-id"))

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

    counters, tracer = site.services.counters, site.services.tracer

    def end() -> None:
        counters.end()
        if tracer is not None:
            tracer.close()

    server = Server(create_app(site), let_go=leave, at_end=end, counts=RequestCounts(counters))
    presence.begin()
    counters.begin(site.services.database)
    collector.spare_the_living()
    return server


def _allow_connections() -> None:
    """As many open files as this process may have: each connection is one, and 1024 are usual."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
