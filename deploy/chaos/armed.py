"""The whole service on engines of its own, between a simulated 8x8 and a provider; each role is armed as it runs."""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import requests
from sqlalchemy import text

from deploy import fleet
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.procfile import Process
from deploy.receiver import Mode, ModeKind, Receiver
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from deploy.supervisor import Supervisor
from deploy.trial import SHRUNK, TrialError, settings_for, takes_messages, wait_until
from shared import failpoints
from shared.db import conservation
from shared.db.database import Database
from shared.db.migrate import migrate

_READY_S: Final = 180  # on a busy machine; mostly it takes some seconds
_DRAIN_S: Final = 10
_ACCEPT_S: Final = 180  # both workers of the ingress may be dead, and start again on a busy machine
_TTL_S: Final = 15
_SCHEDULED_S: Final = 1.5

#: Leases and waits as short as they may be.
_SHRUNK: Final = SHRUNK | {
    "dial_timeout_seconds": 2,
    "call_lease_seconds": 5,
    "ring_seconds": 1,
    "vss_grace_seconds": 1,
}


class DrillStage:
    """Engines, simulator, receiver, one provider, and every process of the Procfile, as a context manager."""

    def __init__(self, folder: Path, *, rivals: int = 1) -> None:
        """
        Args:
            folder: For data and logs.
            rivals: Processes of each role, so that others take over what one that sleeps has in hand. The ingress
                has two of its own.
        """
        self.data_dir: Final = folder / "data"
        self._rivals = rivals
        self._log = folder / "processes.log"
        self._orders = folder / "armed"  # a file for each role
        self._held = ExitStack()
        self._places = itertools.count(1)
        self.numbers: dict[str, str] = {}  # of the messages that were accepted, by messageId

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
        self._out = stack.enter_context(self._log.open("w"))
        self.engines = stack.enter_context(Engines(self.data_dir, fast=True))
        self.database = Database(self.engines.database_url, application="chaos", pool_size=2, by_index=False)
        stack.callback(self.database.close)
        migrate(self.database)
        self.simulator = stack.enter_context(
            Simulator(SimulatorSettings(subaccount_id="trial_voice", time_scale=0.05, outcomes_by_suffix=False))
        )
        self.receiver = stack.enter_context(Receiver())
        self.settings = settings_for(
            self.engines.database_url, self.engines.redis_url, self.data_dir, self.simulator.url, **_SHRUNK
        )
        self.url = f"http://127.0.0.1:{self.settings.port}"
        token = self.settings.webhook_auth_token.get_secret_value()
        for kind in ("VCA", "VSS"):
            self.simulator.register_webhook(kind, f"{self.url}/api/webhooks/{kind.lower()}", token)
        with self.database.transaction() as connection:
            made = create_provider(connection, self.settings, "bank", None, f"{self.receiver.url}/callbacks")
        self._key = (str(made["key_id"]), str(made["secret"]))
        self.receiver.set_secrets("/callbacks", [str(made["callback_secret"])])
        self._environment = environment_of(self.settings) | fleet.program_paths()
        self._orders.mkdir()
        self.arm({})
        supervisor = Supervisor(self._processes(), out=self._out, grace=_DRAIN_S, healthy_life=0)
        supervisor.start()
        stack.callback(supervisor.stop)
        wait_until(lambda: takes_messages(self.url), "messages are taken", _READY_S)

    def _processes(self) -> list[Process]:
        """Those of each role, which look for what they are armed with in a file."""
        return [
            replace(
                one,
                count=1 if one.name == "web" else self._rivals,
                env={**one.env, failpoints.VARIABLE: f"@{self._orders / one.name}"},
            )
            for one in fleet.processes(self._environment)
        ]

    def arm(self, armings: Mapping[str, Sequence[str]]) -> None:
        """Arm each role with these and nothing else, whatever its processes are doing."""
        for process in fleet.processes({}):
            failpoints.arm(self._orders / process.name, armings.get(process.name, ()))

    def submit(self, name: str, *, is_scheduled: bool = False) -> None:
        """Ask for one call until it is accepted, as a provider does."""
        number = f"+659{1000000 + next(self._places)}"
        body = {
            "messageId": name,
            "customerPhone": number,
            "message": "Your code is 4.",
            "repetition": 1,
            "ttlSeconds": _TTL_S,
        }
        if is_scheduled:
            body["scheduledAt"] = (datetime.now(UTC) + timedelta(seconds=_SCHEDULED_S)).isoformat()
        give_up_at = time.monotonic() + _ACCEPT_S
        while time.monotonic() < give_up_at:
            try:
                reply = requests.post(f"{self.url}/api/make-call", json=body, auth=self._key, timeout=(1, 6))
            except requests.RequestException:
                reply = None
            if reply is not None and reply.ok:
                self.numbers[name] = number
                return
            time.sleep(0.1)
        raise TrialError(f"{name} was never accepted: {'no answer' if reply is None else reply.text}")

    def fail_next_callback(self) -> None:
        """Let the provider refuse one callback, so that it is repeated."""
        self.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=503, times=1))

    def wait_for_end(self, timeout_s: float) -> None:
        """Return when nothing is open any more: no message, no callback, no webhook."""
        wait_until(lambda: not self._open(), "all is final and told", timeout_s)

    def _open(self) -> dict[str, int]:
        counted = text("""
            SELECT (SELECT count(*) FROM messages WHERE finished_at IS NULL) AS messages,
              (SELECT count(*) FROM callbacks WHERE finished_at IS NULL) AS callbacks,
              (SELECT count(*) FROM webhook_inbox WHERE processed_at IS NULL) AS webhooks
        """)
        row = self.database.run(lambda connection: connection.execute(counted).one())
        return {name: count for name, count in row._asdict().items() if count}

    def endings(self) -> dict[str, tuple[str, str | None]]:
        """Status and reason of every message, by messageId."""
        stored = text("SELECT message_id, status, reason FROM messages")
        rows = self.database.run(lambda connection: connection.execute(stored).all())
        return {row.message_id: (row.status, row.reason) for row in rows}

    def contradictions(self) -> list[str]:
        """What breaks a promise, one sentence each: database, 8x8's ledger and what the provider received."""
        statuses = self.endings()
        told: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for one in self.receiver.received:
            body = json.loads(one.body)
            told[body["data"]["messageId"]][body["type"]].add(one.headers["webhook-id"])
        calls: dict[str, list[str | None]] = defaultdict(list)
        for entry in self.simulator.ledger.accepted:
            calls[entry.destination].append(entry.session_status)
        found = [
            f"{name}: {what}"
            for name, number in self.numbers.items()
            for what in _contradictions(statuses.get(name, ("lost", None)), calls[number], told[name])
        ]
        audited = self.database.run(lambda connection: conservation.findings(connection, 5))
        return found + [f"audit: {one.kind} {one.count} {one.ids}" for one in audited]


def _contradictions(
    stored: tuple[str, str | None], calls: Sequence[str | None], told: Mapping[str, set[str]]
) -> list[str]:
    status, reason = stored
    found = []
    if len(calls) > 1:
        found.append(f"dialled {len(calls)} times")
    if status not in ("delivered", "undetermined", "expired"):
        found.append(f"ended as {status} ({reason})")
    if status == "delivered" and list(calls) != ["COMPLETED"]:
        found.append(f"delivered, but 8x8 says {calls}")
    if status == "expired" and calls:
        found.append(f"expired, but 8x8 says {calls}")
    wanted = {f"message.{status}"}
    if "message.corrected" in told:
        wanted = {"message.undetermined", "message.corrected"}
    if set(told) != wanted:
        found.append(f"is {status}, but the provider heard {sorted(told)}")
    found += [f"{kind} came under {len(ids)} ids" for kind, ids in told.items() if len(ids) > 1]
    return found
