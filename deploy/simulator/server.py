"""Start the simulator: ``Simulator`` in a thread for tests and benchmarks, ``run`` for the command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from deploy.simulator.account import Account
from deploy.simulator.app import VoiceApi
from deploy.simulator.control import Control
from deploy.simulator.faults import Faults
from deploy.simulator.hosting import ThreadedServer, serve_until_stopped
from deploy.simulator.ledger import Ledger
from deploy.simulator.settings import SimulatorSettings
from deploy.simulator.validation import with_plus
from deploy.simulator.webhooks import Webhook


def make_app(account: Account) -> web.Application:
    """8x8's routes and the control routes over one account."""
    app = web.Application()
    VoiceApi(account).add_routes(app)
    Control(account).add_routes(app)

    async def close(_: web.Application) -> None:
        await account.sessions.stop()

    app.on_cleanup.append(close)  # after the last request, which may start a call
    return app


def run(settings: SimulatorSettings) -> None:
    """Serve until SIGTERM or SIGINT; prints one line when it listens. ``OSError``: the port is taken."""

    async def serve() -> None:
        await serve_until_stopped(make_app(Account(settings)), settings.host, settings.port, "simulator")

    asyncio.run(serve())


class Simulator:
    """
    A simulator in its own thread, as a context manager.

    All methods may be called from any thread and take effect before they return.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self._account = Account(self.settings)
        self._server = ThreadedServer(
            lambda: make_app(self._account), self.settings.host, self.settings.port, "simulator"
        )
        self.url = ""

    @property
    def ledger(self) -> Ledger:
        """What has been accepted, refused and sent."""
        return self._account.ledger

    @property
    def faults(self) -> Faults:
        """The knobs, for reading their hits; change them with ``set_fault``."""
        return self._account.faults

    @property
    def api_key(self) -> str:
        """The key the simulator takes at this moment."""
        return self._account.api_key

    def __enter__(self) -> Self:
        self.url = self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def plan(self, destination: str, behaviours: Iterable[str]) -> None:
        """Fix what a number does: one behaviour for each dial, the last repeats (``UnknownBehaviour``)."""
        self._server.call(lambda: self._account.plan(destination, behaviours))

    def set_fault(self, knob: str, *, destination: str | None = None, **options: Any) -> None:
        """Turn one knob on, for one number or for all (``FaultError``)."""
        number = None if destination is None else with_plus(destination)
        self._server.call(lambda: self._account.faults.set(knob, destination=number, **options))

    def clear_faults(self) -> None:
        """Turn all knobs off."""
        self._server.call(self._account.faults.clear)

    def register_webhook(self, kind: str, url: str, auth_header: str | None = None) -> None:
        """Register a webhook without HTTP, in place of one already there."""
        webhook = Webhook(kind=kind, url=url, auth_header=auth_header)
        self._server.call(lambda: self._account.sessions.webhooks.update({kind: webhook}))

    def set_key(self, api_key: str) -> None:
        """Change the key: the old one gets 401 from now on."""

        def change() -> None:
            self._account.api_key = api_key

        self._server.call(change)

    def call_in(self, source: str, destination: str) -> str:
        """Somebody calls our number back; returns the session id."""
        return self._server.call(lambda: self._account.call_in(source, destination)).session_id

    def reset(self) -> None:
        """Forget everything but the registered webhooks."""
        self._server.run(self._account.reset())

    def wait_for(self, predicate: Callable[[Ledger], bool], timeout_s: float = 5.0) -> None:
        """Block until *predicate* holds of the ledger; raises ``TimeoutError`` with its summary otherwise."""
        if not self.ledger.wait_for(predicate, timeout_s):
            raise TimeoutError(f"the ledger did not come to it within {timeout_s} s: {self.ledger.summary()}")
