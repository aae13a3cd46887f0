"""The conductor: the whole service as real processes, with 8x8 and a provider at its two ends."""

import itertools
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import requests
from sqlalchemy import text
from standardwebhooks import Webhook

from deploy import fleet, trial
from deploy.chaos.victims import all_processes_of, kill, master_of, workers_of
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.receiver import Receiver
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from deploy.supervisor import Supervisor
from shared.db.database import Database
from shared.db.migrate import migrate

TOKEN = "e2e-webhook-token"
RINGPOST = Path(sys.executable).with_name("ringpost")
TIME_SCALE = 0.1  # a call of 13 s lasts 1.3 s, and 8x8 repeats a summary for 13 s
PATIENCE = 30  # s, for what takes a moment on an idle machine
STARTING = 60  # s; a dozen processes import everything at once


def wait_until(predicate, timeout=PATIENCE, what=""):
    """Look until *predicate* gives something truthy, and return that; a connection error counts as not yet."""
    deadline, pause, last = time.monotonic() + timeout, 0.01, None
    while time.monotonic() < deadline:
        try:
            if last := predicate():
                return last
        except requests.RequestException as error:
            last = error
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    raise AssertionError(f"not within {timeout} s: {what or predicate}; last seen: {last!r}")


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings_for(engines, data_dir, simulator_url, port):
    """Production's settings with shrunk times."""
    changes = {
        "eight_x_eight_subaccount_id": "e2e_voice",
        "webhook_auth_token": TOKEN,
        "port": port,
        "legacy_admin_auth": True,
        "dial_timeout_seconds": 4,
        "call_lease_seconds": 12,
        "vss_grace_seconds": 5,
        "ring_seconds": 5,
        "export_interval_seconds": 1,
        "export_delay_seconds": 0,
    }
    return trial.settings_for(
        engines.database_url, engines.redis_url, data_dir, simulator_url, **(trial.SHRUNK | changes)
    )


class Stage:
    """The Procfile's processes under a supervisor, on engines of their own, as a context manager."""

    def __init__(self, folder):
        self.data_dir = folder / "data"
        self.log = folder / "processes.log"
        self._held = ExitStack()
        self._numbers = itertools.count(1)

    def __enter__(self):
        with ExitStack() as stack:
            self._start(stack)
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._held.close()

    def _start(self, stack):
        self.engines = stack.enter_context(Engines(self.data_dir))
        self.database = Database(self.engines.database_url, application="e2e", pool_size=2)
        stack.callback(self.database.close)
        migrate(self.database)
        settings = SimulatorSettings(subaccount_id="e2e_voice", time_scale=TIME_SCALE, outcomes_by_suffix=False)
        self.simulator = stack.enter_context(Simulator(settings))
        self.receiver = stack.enter_context(Receiver())
        self.settings = settings_for(self.engines, self.data_dir, self.simulator.url, free_port())
        self.url = f"http://127.0.0.1:{self.settings.port}"
        for kind in ("VCA", "VSS"):
            self.simulator.register_webhook(kind, f"{self.url}/api/webhooks/{kind.lower()}", TOKEN)
        with self.database.transaction() as connection:
            made = create_provider(connection, self.settings, "bank", None, f"{self.receiver.url}/callbacks")
        self.provider_id, self.key = made["provider_id"], (made["key_id"], made["secret"])
        self._secret = made["callback_secret"]
        self.receiver.set_secrets("/callbacks", [self._secret])
        self.environment = environment_of(self.settings) | fleet.program_paths()
        self._output = stack.enter_context(self.log.open("w"))
        self._start_processes()
        stack.callback(self._end_processes)
        self.await_ready(STARTING)

    def _start_processes(self):
        self.supervisor = Supervisor(fleet.processes(self.environment), out=self._output)
        self.supervisor.start()

    def restart(self, **environment):
        """Let every process end after its work, and start all of them with other settings; None: without that one."""
        self.supervisor.stop()
        changed = self.environment | environment
        self.environment = {name: value for name, value in changed.items() if value is not None}
        self._start_processes()
        self.await_ready(STARTING)

    def _end_processes(self):
        self.supervisor.stop()
        left = all_processes_of(self.data_dir)
        for process in left:
            process.kill()
        assert left == [], f"still alive after the drain: {left}"

    # What it does

    def await_ready(self, timeout=PATIENCE):
        """Return when messages are taken and each process of the Procfile has its child at work."""
        wait_until(lambda: requests.get(f"{self.url}/readyz", timeout=2).ok, timeout, "the ingress is ready")
        names = [process.name for process in fleet.processes({})]
        wait_until(lambda: all(self.pid(name) for name in names), timeout, "every process runs")

    def new_number(self, *behaviours):
        """A phone that nobody has called before and that behaves so, dial by dial; by default it listens."""
        number = f"+659{1000000 + next(self._numbers)}"
        if behaviours:
            self.simulator.plan(number, behaviours)
        return number

    def request(self, message_id, number, headers=None, **members):
        """Send one message as the provider, and return the reply."""
        body = {"messageId": message_id, "customerPhone": number, "message": "Your code is 4, 0, 7.", **members}
        return requests.post(f"{self.url}/api/make-call", json=body, auth=self.key, headers=headers, timeout=15)

    def submit(self, message_id, number, headers=None, **members):
        """Send one message that must be accepted, and return the reply's data."""
        reply = self.request(message_id, number, headers, **members)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    def story(self, message_id):
        """The message as its provider reads it."""
        return requests.get(f"{self.url}/v1/messages", {"messageId": message_id}, auth=self.key, timeout=5).json()

    def callbacks(self, message_id, count=1, timeout=PATIENCE):
        """Wait until so many POSTs about a message have come in, and return all of them."""
        wanted = f'"messageId":"{message_id}"'.encode()
        try:
            received = self.receiver.wait_for(lambda all_: sum(wanted in one.body for one in all_) >= count, timeout)
        except TimeoutError:
            raise AssertionError(f"not {count} callbacks within {timeout} s: {self.story(message_id)}") from None
        return [one for one in received if wanted in one.body]

    def callback(self, message_id, timeout=PATIENCE):
        """Wait for the message's only callback, check its signature as a provider would, and return its data."""
        (one,) = self.callbacks(message_id, 1, timeout)
        body = Webhook(self._secret).verify(one.body, dict(one.headers))
        assert body["type"] == f"message.{body['data']['status']}"
        return body["data"]

    def rows(self, sql, **known):
        """Run a query, or an update that returns rows; again while PostgreSQL is away."""
        return self.database.run(lambda connection: connection.execute(text(sql), known).all(), patience_s=PATIENCE)

    def ringpost(self, *arguments):
        """The command line as a process of its own, in the same environment."""
        return subprocess.run(
            [RINGPOST, *arguments], env=os.environ | self.environment, capture_output=True, text=True, check=False
        )

    def files(self):
        """Everything written on disk: what the processes said, the engines' data and logs, the spool."""
        return [self.log, *(path for path in self.data_dir.rglob("*") if path.is_file())]

    # What it breaks

    def pid(self, name):
        """The pid of the process that works: granian's child, else what was started. None when it has none."""
        return next(iter(workers_of(self.supervisor, name)), None)

    def kill(self, name):
        """Kill -9 of the process that works; returns its pid."""
        pid = wait_until(lambda: self.pid(name), what=f"{name} runs")
        kill(pid)
        return pid

    def kill_master(self, name):
        """Kill -9 of what the supervisor itself started; returns its pid."""
        pid = wait_until(lambda: master_of(self.supervisor, name), what=f"{name} runs")
        kill(pid)
        return pid

    def lose_redis(self):
        """Kill -9, delete all its data, start it empty."""
        self.engines.valkey.kill()
        self.engines.valkey.wipe()
        self.engines.valkey.start()

    def crash_postgres(self):
        """Stop it as a crash would, and let it recover."""
        self.engines.postgres.stop("immediate")
        self.engines.postgres.start()
