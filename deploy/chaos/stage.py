"""Where drills take place: Ringpost by its Procfile on engines of its own, 8x8 and a provider in other processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests

from deploy import fleet
from deploy.bench.stage import basic
from deploy.chaos import victims
from deploy.chaos.companions import Companion, simulator
from deploy.chaos.links import POSTGRES, RECEIVER, REDIS, VOICE
from deploy.chaos.proxy import FaultProxy, upstream_of, url_through
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.supervisor import Supervisor
from deploy.trial import HOST, SHRUNK, settings_for, takes_messages, wait_until
from shared.db.database import Database
from shared.db.migrate import migrate

_TIME_SCALE: Final = 0.1  # a call of 12 s lasts 1.2 s, and 8x8 repeats a summary for 13 s
_PROXY_SEED: Final = 8
_STARTING_S: Final = 120.0
_PATIENCE_S: Final = 30.0
_STATEMENT_S: Final = 60.0


#: What 8x8 never tells is given up within a drill.
_SHRUNK: Final = SHRUNK | {
    "allowed_countries": "*",
    "dial_timeout_seconds": 4,
    "call_lease_seconds": 8,
    "vss_grace_seconds": 3,
    "ring_seconds": 3,
    "answer_seconds": 2,
    "breaker_seconds": 2,
    "export_interval_seconds": 2,
    "export_delay_seconds": 2,
    "export_timeout_seconds": 5,
    "callback_schedule": "0.5,1,2,4,4,4,4,4,4,4",
    "log_level": "WARNING",
    "metrics_token": "drill-metrics-token",
}


class Stage:
    """Everything running, as a context manager; ``on_exit`` is told of each process that dies."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        """
        Start nothing yet.

        Args:
            folder: Where everything is kept.
            changes: Any setting.
        """
        self._changes = changes
        self.folder: Final = folder
        self.log: Final = folder / "processes.log"
        self.callbacks: Final = folder / "callbacks.jsonl"
        self.on_exit: Callable[[str, int], None] = lambda _name, _pid: None
        self._held = ExitStack()
        self._next_number = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _start(self, stack: ExitStack) -> None:
        self._start_engines(stack)
        voice_port, receiver_port = fleet.free_port(HOST), fleet.free_port(HOST)
        self.voice_url = f"http://{HOST}:{voice_port}"
        self.proxy = stack.enter_context(FaultProxy(_PROXY_SEED, self.folder))
        self.settings = settings_for(
            f"{self._through(POSTGRES, self.engines.database_url)}?sslmode=disable&gssencmode=disable",
            self._through(REDIS, self.engines.redis_url),
            self.folder / "data",
            self._through(VOICE, self.voice_url),
            **(_SHRUNK | self._changes),
        )
        self.url = f"http://{HOST}:{self.settings.port}"
        callback_url = self._through(RECEIVER, f"http://{HOST}:{receiver_port}/callbacks")
        self.headers, secret = self.add_provider("chaos", callback_url)
        options = {
            "api_key": self._key,
            "subaccount_id": self.settings.eight_x_eight_subaccount_id,
            "time_scale": _TIME_SCALE,
        }
        voice = stack.enter_context(simulator(voice_port, self.log, **options))
        stack.enter_context(self.receiving(receiver_port, {"/callbacks": secret}))
        voice.await_word()
        for kind in ("VCA", "VSS"):
            self._register(kind)
        self._start_processes(stack)

    def _start_engines(self, stack: ExitStack) -> None:
        self.engines = stack.enter_context(Engines(self.folder / "data"))
        self.database = Database(
            self.engines.database_url,
            application="chaos",
            pool_size=2,
            statement_timeout_s=_STATEMENT_S,
            by_index=False,
        )
        stack.callback(self.database.close)
        migrate(self.database)

    def _start_processes(self, stack: ExitStack) -> None:
        log = stack.enter_context(self.log.open("a"))
        environment = environment_of(self.settings) | fleet.program_paths()
        self.supervisor = Supervisor(fleet.processes(environment), out=log, on_exit=self._tell_exit)
        self.supervisor.start()
        stack.callback(self._end_processes)
        self.await_ready(_STARTING_S)

    def _through(self, link: str, url: str) -> str:
        """The same URL by way of the proxy."""
        return url_through(url, self.proxy.front(link, upstream_of(url)))

    def add_provider(self, name: str, callback_url: str) -> tuple[dict[str, str], str]:
        """One that may call anybody: the header that its key travels in, and its callbacks' secret."""
        with self.database.transaction() as connection:
            made = create_provider(connection, self.settings, name, ["*"], callback_url)
        return basic((str(made["key_id"]), str(made["secret"]))), str(made["callback_secret"])

    @contextmanager
    def receiving(self, port: int, secrets: Mapping[str, str]) -> Iterator[Companion]:
        """A process that takes callbacks, with the secret of each path, and writes them into the stage's ledger."""
        with Companion("deploy.chaos.receiver", self.log) as receiver:
            known = {path: [secret] for path, secret in secrets.items()}
            receiver.ask(json.dumps({"port": port, "secrets": known, "ledger": str(self.callbacks)}))
            yield receiver.await_word()

    def _register(self, kind: str) -> None:
        url = f"{self.voice_url}/api/v1/subaccounts/{self.settings.eight_x_eight_subaccount_id}/webhooks"
        token = self.settings.webhook_auth_token.get_secret_value()
        webhook = {"type": kind, "url": f"{self.url}/api/webhooks/{kind.lower()}", "httpAuthHeader": token}
        requests.post(url, json=webhook, headers={"Authorization": f"Bearer {self._key}"}, timeout=5).raise_for_status()

    def _tell_exit(self, name: str, pid: int, _code: int, _delay_s: float) -> None:
        self.on_exit(name, pid)

    def _end_processes(self) -> None:
        self.supervisor.stop()
        for process in victims.all_processes_of(self.settings.ringpost_data_dir):
            process.kill()

    @property
    def _key(self) -> str:
        return self.settings.eight_x_eight_api_key.get_secret_value()

    @property
    def submit_url(self) -> str:
        """Where messages go."""
        return f"{self.url}/api/make-call"

    @property
    def roles(self) -> list[str]:
        """The Procfile's processes."""
        return [process.name for process in fleet.processes({})]

    def numbers(self, count: int) -> int:
        """The first of so many places for phones that nobody has called yet."""
        first = self._next_number
        self._next_number += count
        return first

    def await_ready(self, timeout_s: float = _PATIENCE_S) -> None:
        """Return when messages are taken and each process of the Procfile has its child at work."""
        self.wait_until(lambda: takes_messages(self.url), "the ingress is ready", timeout_s)
        for role in self.roles:
            self.wait_until(lambda role=role: bool(self.workers(role)), f"{role} runs", timeout_s)  # type: ignore[misc]

    def ringpost(self, *arguments: str) -> str:
        """What a command of ours prints; ``CalledProcessError`` when its exit code is another than 0."""
        program = [sys.executable, "-c", "from deploy.cli import main; main()", *arguments]
        environment = os.environ | environment_of(self.settings) | fleet.program_paths()
        return subprocess.run(
            program, env=environment, cwd=fleet.PROJECT, capture_output=True, text=True, check=True
        ).stdout

    def wait_until(self, predicate: Callable[[], bool], what: str, timeout_s: float = _PATIENCE_S) -> None:
        """Look until *predicate* holds; ``TrialError`` when it does not in time."""
        wait_until(predicate, f"{what}; see {self.log}", timeout_s)

    def workers(self, role: str) -> list[int]:
        """The pids of a role's processes that work."""
        return victims.workers_of(self.supervisor, role)

    def misbehave(self, **faults: Any) -> None:
        """Let 8x8 get exactly these things wrong; see the simulator's knobs."""
        requests.put(f"{self.voice_url}/sim/faults", json=faults, timeout=_PATIENCE_S).raise_for_status()

    def calls(self) -> list[dict[str, Any]]:
        """Every callflow that 8x8 accepted, as its ledger shows it."""
        accepted: list[dict[str, Any]] = requests.get(f"{self.voice_url}/sim/ledger", timeout=60).json()["accepted"]
        return accepted

    @property
    def _redis_folder(self) -> Path:
        return self.folder / "data" / "valkey"

    def keep_redis(self) -> None:
        """Remember all that Redis has on disk now."""
        shutil.copytree(self._redis_folder, self.folder / "redis-then", dirs_exist_ok=True)

    def crash_redis(self, *, wiped: bool = False, restored: bool = False) -> None:
        """Kill -9; it comes back as it was, empty, or as it was when it was kept."""
        valkey = self.engines.valkey
        assert valkey is not None
        valkey.kill()
        if wiped or restored:
            valkey.wipe()
        if restored:
            shutil.copytree(self.folder / "redis-then", self._redis_folder)
        valkey.start()

    def crash_postgres(self) -> None:
        """Stop it as a crash would, and let it recover."""
        postgres = self.engines.postgres
        assert postgres is not None
        postgres.stop("immediate")
        postgres.start()
