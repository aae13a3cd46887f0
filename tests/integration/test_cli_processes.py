"""``ringpost up`` and ``ringpost dev`` as processes: they start, serve, end, and leave nothing behind."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import requests

from deploy.demo.surroundings import environment_of

PATIENCE = 60  # s; several processes import everything at once
RINGPOST = Path(sys.executable).with_name("ringpost")

pytestmark = pytest.mark.xdist_group("fleets")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Command:
    """A running command, its lines as they come, and every process it started."""

    def __init__(self, *arguments, cwd, **environment):
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(cwd)}
        self.process = subprocess.Popen(
            [RINGPOST, *arguments],
            cwd=cwd,
            env=clean | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._coming = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.process.stdout as output:
            for line in output:
                self._coming.put(line)
        self._coming.put(None)

    def line_with(self, words):
        """Wait for a line that holds the words."""
        deadline = time.monotonic() + PATIENCE
        while True:
            line = self._coming.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, "".join(self.lines)
            self.lines.append(line)
            if words in line:
                return line

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait(self):
        return self.process.wait(PATIENCE)


@pytest.fixture
def run(tmp_path):
    """Starts commands in an empty folder and kills what a failed test leaves."""
    commands = []

    def start(*arguments, **environment):
        commands.append(Command(*arguments, cwd=tmp_path, **environment))
        return commands[-1]

    yield start
    for command in commands:
        if command.process.poll() is None:
            for process in [*command.family(), command.process]:
                process.kill()
        command.process.wait()


def are_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE / 2)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def until_ready(url):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/readyz", timeout=1).ok:
                return True
        except requests.RequestException:
            time.sleep(0.05)
    return False


# up


@pytest.fixture
def environment(settings, tmp_path):
    """What ``up`` needs, with the engines' URLs left out, on a free port."""
    known = environment_of(settings) | {
        "PORT": str(free_port()),
        "RINGPOST_DATA_DIR": str(tmp_path / "data"),
        "EIGHT_X_EIGHT_BASE_URL": "http://127.0.0.1:9",
        "WEB_CONCURRENCY": "1",
    }
    return {name: text for name, text in known.items() if name not in ("DATABASE_URL", "REDIS_URL")}


def test_up_serves_from_embedded_engines_and_ends_clean_on_sigterm(run, environment):
    command = run("up", **environment)
    command.line_with("listening on")
    is_ready = until_ready(f"http://127.0.0.1:{environment['PORT']}")
    family = command.family()

    command.process.send_signal(signal.SIGTERM)

    assert is_ready
    assert command.wait() == 0
    assert are_gone(family)


@pytest.mark.parametrize(
    ("arguments", "changes", "line"),
    [
        ([], {"WEBHOOK_AUTH_TOKEN": ""}, "WEBHOOK_AUTH_TOKEN: must not be empty"),
        (["--scale", "calls-otp"], {}, "--scale: 'calls-otp' is not NAME=COUNT"),
        (["--scale", "nothing=1"], {}, "--scale: there is no process 'nothing'"),
    ],
)
def test_up_refuses_wrong_use_with_exit_code_2(run, environment, arguments, changes, line):
    command = run("up", *arguments, **(environment | changes))

    command.line_with(line)

    assert command.wait() == 2


def test_up_refuses_a_port_that_is_taken(run, environment):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environment["PORT"])))
        taken.listen()

        command = run("up", **environment)

        command.line_with(f"PORT: {environment['PORT']} is taken")
        assert command.wait() == 2


def test_up_leaves_a_foreign_database_unmigrated(run, environment, engines):
    url = engines.postgres.create_database("foreign")

    command = run("up", **environment, DATABASE_URL=url, REDIS_URL=engines.redis_url)

    command.line_with("run `ringpost migrate`")
    assert command.wait() == 2


# dev


@pytest.fixture
def dev_ports():
    """A port for the ingress; the others find theirs."""
    return {"PORT": str(free_port())}


def test_dev_once_needs_no_settings_and_ends_when_the_callback_was_verified(run, dev_ports, tmp_path):
    command = run("dev", "--once", **dev_ports)

    for step in ("accepted", "dialling", "placed", "spoken", "summary", "called back"):
        command.line_with(step)

    assert command.wait() == 0
    kept = tmp_path / ".ringpost" / "demo.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_dev_prints_lines_that_work_and_ctrl_c_leaves_no_process(run, dev_ports, tmp_path):
    command = run("dev", **dev_ports)
    line = command.line_with("curl")
    family = command.family()
    pasted = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    status = subprocess.run(
        [RINGPOST, "status"], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    command.line_with("Ctrl-C ends everything")

    command.process.send_signal(signal.SIGINT)

    assert '"success":true' in pasted.stdout
    assert status.stdout.endswith("all well\n"), status.stdout + status.stderr
    assert command.wait() == 0
    assert are_gone(family)


def test_a_second_dev_in_the_same_folder_is_told_of_the_first_and_kill_9_leaves_no_process(run, dev_ports):
    first = run("dev", **dev_ports)
    first.line_with("called back")
    family = first.family()

    second = run("dev", **dev_ports)
    second.line_with("another ringpost is using")
    code = second.wait()
    os.kill(first.process.pid, signal.SIGKILL)

    assert code == 1
    assert are_gone(family)
