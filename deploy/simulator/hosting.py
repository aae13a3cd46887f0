"""Run an aiohttp application: in a thread of its own for tests, or as this process for a command."""

from __future__ import annotations

import asyncio
import signal
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


async def listen(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Start serving; returns the runner and the URL really bound. ``OSError``: the port is taken."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = runner.addresses[0]
    name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    return runner, f"http://{name}:{bound[1]}"


async def serve_until_stopped(app: web.Application, host: str, port: int, name: str) -> None:
    """Serve until SIGTERM or SIGINT; prints one line once requests are taken."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner, url = await listen(app, host, port)
    print(f"{name} listening on {url}", flush=True)
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()


class ThreadedServer:
    """An application on its own loop in its own thread; ``url`` is known once ``start`` returns."""

    def __init__(self, make_app: Callable[[], web.Application], host: str, port: int, name: str) -> None:
        self._make_app = make_app
        self._address = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._started: Future[str] = Future()
        self._stop = asyncio.Event()

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
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            runner, url = await listen(self._make_app(), *self._address)
        except BaseException as error:  # noqa: BLE001  (it belongs to the thread that waits in start)
            self._started.set_exception(error)
            return
        self._started.set_result(url)
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()
            await asyncio.sleep(0)  # closed connections say goodbye on the loop's next turn
