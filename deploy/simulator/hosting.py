"""Run an aiohttp application: in a thread of its own for tests, or as this process for a command."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
# Handlers that hang on purpose must not hold up the end; what they owe is lost on purpose, too.
_SHUTDOWN_S = 0.1
_BACKLOG = 1024
_ACCEPT_TURNS = 4  # turns of the loop until the server knows a connection accepted at the last moment


class Listener:
    """An application that is being served at ``url``."""

    def __init__(self, runner: web.AppRunner, listening: socket.socket) -> None:
        self._runner = runner
        self._listening = listening
        host, port = listening.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """
        Stop serving without leaving a connection open.

        asyncio drops a connection unclosed when it was accepted in the very turn its server closes. So accepting
        ends first, and the server closes when it knows all it has accepted.
        """
        asyncio.get_running_loop().remove_reader(self._listening)
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)
        await self._runner.cleanup()
        await asyncio.sleep(0)  # closed connections say goodbye on the loop's next turn


async def listen(app: web.Application, host: str, port: int) -> Listener:
    """Start serving; port 0 takes any free one. Raises ``OSError`` when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, listening, backlog=_BACKLOG).start()
    return Listener(runner, listening)


async def serve_until_stopped(app: web.Application, host: str, port: int, name: str) -> None:
    """Serve until SIGTERM or SIGINT; prints one line once requests are taken."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    listener = await listen(app, host, port)
    print(f"{name} listening on {listener.url}", flush=True)
    try:
        await stopped.wait()
    finally:
        await listener.close()


class ThreadedServer:
    """An application on its own loop in its own thread; ``url`` is known once ``start`` returns."""

    def __init__(self, make_app: Callable[[], web.Application], host: str, port: int, name: str) -> None:
        self._make_app = make_app
        self._address = (host, port)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._started: Future[str] = Future()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop  # there from the start on

    def start(self) -> str:
        """Start and return the URL; raises what the start raised, ``OSError`` for a port already taken."""
        self._thread.start()
        return self._started.result(START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop serving and wait for the thread to end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STOP_TIMEOUT_S)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_TIMEOUT_S)

    def call(self, work: Callable[[], T]) -> T:
        """Run a function on the server's loop and wait for its result."""

        async def called() -> T:
            return work()

        return self.run(called())

    def _work(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            listener = await listen(self._make_app(), *self._address)
        except BaseException as error:  # noqa: BLE001  (it belongs to the thread that waits in start)
            self._started.set_exception(error)
            return
        self._started.set_result(listener.url)
        try:
            await self._stop.wait()
        finally:
            await listener.close()
