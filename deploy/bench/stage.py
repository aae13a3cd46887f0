"""Ringpost as it runs in production, on engines of its own: settings, provider, the Procfile's processes."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil
from sqlalchemy import text

from deploy import fleet
from deploy.bench.crew import Crew
from deploy.bench.generator import Generator
from deploy.bench.meter import Meter, enable_statement_counts
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.procfile import Process, scaled
from deploy.trial import HOST, settings_for
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.db.tables import METADATA
from shared.services import Services, build_services

SUBACCOUNT: Final = "bench_voice"
SOURCE: Final = "+6531580001"
TOKEN: Final = "bench-webhook-token"  # noqa: S105  of a simulated 8x8
_STATEMENT_S: Final = 600.0

#: Tables that a run does not fill.
_KEPT: Final = frozenset(
    {"providers", "api_keys", "endpoints", "lanes", "voices", "heartbeats", "suppressions", "audit_log"}
)


#: What the generator's 8x8 knows, and the pace out of the way.
_OURS: Final[dict[str, Any]] = {
    "eight_x_eight_subaccount_id": SUBACCOUNT,
    "outbound_phone_number": SOURCE,
    "webhook_auth_token": TOKEN,
    "dials_per_second": 5000,
    "max_calls_in_flight": 50_000,
    "log_level": "WARNING",
}


def basic(key: tuple[str, str]) -> dict[str, str]:
    """A provider's key as the header it travels in."""
    return {"Authorization": "Basic " + base64.b64encode(":".join(key).encode()).decode()}


class Stage:
    """Engines that wait for the disk, the schema, one provider, and the processes, started part by part."""

    def __init__(self, folder: Path, generator: Generator) -> None:
        self._folder = folder
        self._generator = generator
        self._held = ExitStack()
        self._web: Crew | None = None
        self._workers: Crew | None = None
        self.log: Final = folder / "processes.log"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.engines = stack.enter_context(Engines(self._folder / "data"))
            self.counts_statements = enable_statement_counts(self.engines)
            self.database = Database(
                self.engines.database_url, application="bench", pool_size=2, statement_timeout_s=_STATEMENT_S
            )
            stack.callback(self.database.close)
            migrate(self.database)
            self.standard = settings_for(
                self.engines.database_url,
                self.engines.redis_url,
                self._folder / "data",
                self._generator.voice_url,
                **_OURS,
            )
            self.settings = self.standard
            self.services: Services = build_services(self.settings, application="ringpost-bench")
            stack.callback(self.services.close)
            self.provider = self.new_provider("bench", self._generator.callback_urls[0])
            self.headers = basic((str(self.provider["key_id"]), str(self.provider["secret"])))
            self.meter = Meter(self.engines, self.engines.database_url, self.spent_s)
            stack.callback(self.meter.close)
            stack.callback(self.stop_web)
            stack.callback(self.stop_workers)
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    @property
    def url(self) -> str:
        """The ingress."""
        return f"http://{HOST}:{self.settings.port}"

    @property
    def submit_url(self) -> str:
        """Where messages go."""
        return f"{self.url}/api/make-call"

    @property
    def vss_url(self) -> str:
        """Where 8x8's summaries go."""
        return f"{self.url}/api/webhooks/vss"

    def new_provider(self, name: str, callback_url: str | None) -> dict[str, Any]:
        """Make a provider; see ``create_provider``."""
        with self.database.transaction() as connection:
            return create_provider(connection, self.settings, name, None, callback_url)

    def world(self, **changes: Any) -> None:
        """Let 8x8 behave so, and report to our ingress."""
        known = {"vss_url": self.vss_url, "token": TOKEN, "subaccount": SUBACCOUNT}
        self._generator.become(**(known | changes))

    def start_web(self) -> None:
        """Start the ingress, unless it runs; everything anew, if the settings are not the standard ones."""
        if self.settings is not self.standard:
            self.restart()
        self._start_web()

    def start_workers(self, counts: Mapping[str, int] | None = None) -> None:
        """Start every other role, unless they run."""
        if self._workers is None:
            roles = {process.name for process in fleet.processes({})} - {"web"}
            self._workers = self._crew(roles, None, counts)

    def stop_web(self) -> None:
        """Drain the ingress."""
        if self._web is not None:
            self._web.__exit__(None, None, None)
            self._web = None

    def stop_workers(self) -> None:
        """Drain the workers."""
        if self._workers is not None:
            self._workers.__exit__(None, None, None)
            self._workers = None

    def restart(self, **changes: Any) -> None:
        """Start everything anew, with the standard settings but for *changes*, on empty tables."""
        self.stop_workers()
        self.stop_web()
        self.settings = self.standard.model_copy(update=changes) if changes else self.standard
        self.clear()
        self._start_web()
        self.start_workers()

    def environment(self, **changes: str) -> dict[str, str]:
        """What our processes, and rivals on the same engines, find around them."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return known | environment_of(self.settings) | fleet.program_paths() | changes

    def clear(self) -> None:
        """Empty the tables that a run fills, and Redis."""
        filled = [table.name for table in METADATA.sorted_tables if table.name not in _KEPT]
        with self.database.transaction() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(filled)} CASCADE"))
        self.services.broker.client.flushdb()

    def spent_s(self) -> dict[str, float]:
        """Processor seconds of each running role."""
        return {name: spent for crew in self._crews() for name, spent in crew.spent_s().items()}

    def families(self) -> dict[str, list[psutil.Process]]:
        """The living processes of each running role."""
        return {name: family for crew in self._crews() for name, family in crew.families().items()}

    def memory_mib(self) -> dict[str, float]:
        """Resident memory of each role's largest process."""
        return {name: size for crew in self._crews() for name, size in crew.memory_mib().items()}

    def crew(self, processes: list[Process], ready_url: str | None) -> Crew:
        """Processes of a rival, not started yet."""
        return Crew(processes, self.log, ready_url=ready_url)

    def _start_web(self) -> None:
        if self._web is None:
            self._web = self._crew({"web"}, f"{self.url}/readyz")

    def _crews(self) -> list[Crew]:
        return [crew for crew in (self._web, self._workers) if crew is not None]

    def _crew(self, roles: set[str], ready_url: str | None, counts: Mapping[str, int] | None = None) -> Crew:
        wanted = [process for process in fleet.processes(self.environment()) if process.name in roles]
        crew = Crew(scaled(wanted, counts or {}), self.log, ready_url=ready_url)
        return crew.__enter__()
