"""Drill: the release before the newest migration meets the new schema, and this one meets the old schema."""

import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from alembic import command

from deploy import fleet
from deploy.procfile import parse_procfile
from deploy.supervisor import Supervisor
from shared.db.migrate import _config, migrate
from tests.e2e.stage import STARTING, Stage, wait_until

MESSAGES = 60


def git(*words):
    done = subprocess.run(["git", *words], cwd=fleet.PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def previous():
    """``RINGPOST_PREVIOUS``, else the commit before the newest migration came; empty without a history."""
    versions = "shared/db/migrations/versions"
    newest = max(path.name for path in (fleet.PROJECT / versions).glob("m*.py"))
    came = git("log", "--diff-filter=A", "--format=%H", "-1", "--", f"{versions}/{newest}")
    return os.environ.get("RINGPOST_PREVIOUS") or git("rev-parse", "--verify", "--quiet", f"{came}^")


pytestmark = [
    pytest.mark.xdist_group("deaths"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.environ.get("RINGPOST_DRILLS") != "all", reason="RINGPOST_DRILLS=all: takes minutes"),
]


@pytest.fixture
def older(tmp_path):
    """The files of the previous release."""
    ref, folder = previous(), tmp_path / "older"
    if not ref:
        pytest.skip("needs the history of this repository")
    folder.mkdir()
    files = subprocess.run(["git", "archive", ref], cwd=fleet.PROJECT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=files, check=True)
    return folder


class UpgradeStage(Stage):
    """The usual stage, whose processes can be another release's."""

    release = None

    def _start_processes(self):
        folder = self.release or fleet.PROJECT
        environment = self.environment | {"PYTHONPATH": str(folder)}
        lines = parse_procfile((folder / "Procfile").read_text())
        processes = [
            replace(process, command=in_folder(folder, lines[process.name]))
            for process in fleet.processes(environment)
            if process.name in lines
        ]
        self.supervisor = Supervisor(processes, out=self._output)
        self.supervisor.start()

    def become(self, release):
        """Let every process end after its work, and start those of that release; None: this one's."""
        self.release = release
        self.restart()
        for name in fleet.commands():
            assert Path(f"/proc/{self.pid(name)}/cwd").resolve() == (release or fleet.PROJECT).resolve()

    def head(self, folder):
        """The newest revision of a release."""
        return max(path.name for path in Path(folder, "shared/db/migrations/versions").glob("m*.py"))[1:5]

    def ready(self):
        return requests.get(f"{self.url}/readyz", timeout=5)

    def downgrade(self, revision):
        with self.database.engine.connect() as connection:
            command.downgrade(_config(connection), revision)
            connection.commit()


def in_folder(folder, line):
    return ["/bin/sh", "-c", f"cd '{folder}' && exec {line}"]


class Traffic:
    """Messages without a pause, as a context manager; what is refused is sent again under the same name."""

    def __init__(self, stage, name):
        self.stage, self.names = stage, [f"{name}-{number}" for number in range(MESSAGES)]
        self.numbers = {one: stage.new_number() for one in self.names}
        self.sent = self.refused = 0
        self._thread = threading.Thread(target=self._send)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()

    def _send(self):
        for name, number in self.numbers.items():
            wait_until(lambda n=name, p=number: self._is_taken(n, p), STARTING)
            self.sent += 1

    def _is_taken(self, name, number):
        is_taken = self.stage.request(name, number).status_code == 200
        self.refused += not is_taken
        return is_taken

    def check(self):
        """Each was called once, and told delivered."""
        told = {name: self.stage.callback(name, timeout=60)["status"] for name in self.names}
        assert set(told.values()) == {"delivered"}
        dials = [len(self.stage.simulator.ledger.of(number)) for number in self.numbers.values()]
        assert dials == [1] * MESSAGES


def test_each_release_works_on_the_others_schema_or_waits_for_its_own(tmp_path, older):
    with UpgradeStage(tmp_path) as stage:
        # The schema goes first: the older release on the newer schema, and its place taken in the midst of traffic.
        stage.become(older)
        with Traffic(stage, "older") as before:
            pass
        before.check()
        with Traffic(stage, "between") as between:
            stage.become(None)
        between.check()

        # The wrong way round: this release on the older schema says that it is not ready, and loses nothing of what it
        # takes nevertheless; with the migration it works, and needs no restart.
        stage.downgrade(stage.head(older))
        not_ready = wait_until(lambda: stage.ready().status_code == 503 and stage.ready().json(), what="not ready")
        with Traffic(stage, "reverse") as reverse:
            wait_until(lambda: reverse.sent > MESSAGES // 2 or reverse.refused, what="traffic on the older schema")
            migrate(stage.database)
        stage.await_ready(STARTING)
        reverse.check()

        wait_until(
            lambda: stage.ringpost("audit", "--grace", "5").returncode == 0, what="every message is accounted for"
        )
    assert not_ready["database"] == "migrations pending"
