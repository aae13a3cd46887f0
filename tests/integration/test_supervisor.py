"""Deaths, drains and kills, with real processes."""

import io
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from deploy.supervisor import Process, Supervisor
from tests.integration.vanishing import all_vanish

PATIENCE = 10  # s
SLEEPER = ["sleep", "1000"]
# Answers SIGTERM by finishing its work; says when it is ready for the signal.
DRAINER = ["sh", "-c", "trap 'echo drained; exit 0' TERM; echo ready; while :; do sleep 0.02; done"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done"]
# A master that leaves ending its child to somebody else, as after a kill -9.
MASTER = ["sh", "-c", "sleep 1000 & echo ready $!; wait"]


class Lines(io.StringIO):
    """A stream that hands each written line to the test."""

    def __init__(self):
        super().__init__()
        self.lines = queue.SimpleQueue()

    def write(self, text):
        self.lines.put(text)
        return len(text)

    def wait_for(self, text):
        while text not in (line := self.lines.get(timeout=PATIENCE)):
            pass
        return line


@pytest.fixture
def out():
    return Lines()


@pytest.fixture
def deaths():
    return queue.SimpleQueue()


@pytest.fixture
def supervise(out, deaths):
    """Starts a supervisor over the given processes, and ends it after the test."""
    started = []

    def start(*processes, grace=PATIENCE):
        supervisor = Supervisor(processes, out=out, on_exit=lambda *death: deaths.put(death), grace=grace)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.kill()


def test_output_comes_line_by_line_behind_its_process_name(supervise, out):
    supervise(
        Process(name="web", command=["sh", "-c", "echo to stdout; echo to stderr >&2; exec sleep 1000"]),
        Process(name="calls-otp", command='sh -c "echo $GREETING; exec sleep 1000"', env={"GREETING": "hello"}),
    )

    lines = {out.lines.get(timeout=PATIENCE) for _ in range(3)}

    assert lines == {"web.1       | to stdout\n", "web.1       | to stderr\n", "calls-otp.1 | hello\n"}


def test_a_killed_process_is_started_again(supervise, deaths, out):
    supervisor = supervise(Process(name="calls", command=DRAINER, count=2))
    out.wait_for("ready")
    out.wait_for("ready")
    before = supervisor.running()

    os.kill(before["calls.2"], signal.SIGKILL)
    death = deaths.get(timeout=PATIENCE)
    out.wait_for("ready")
    after = supervisor.running()

    assert death == ("calls.2", before["calls.2"], -signal.SIGKILL, 0.2)
    assert after["calls.1"] == before["calls.1"]
    assert after["calls.2"] not in before.values()


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_is_started_again_whatever_its_exit_code(supervise, deaths, code):
    supervise(Process(name="short", command=f"sh -c 'exit {code}'"))

    first, second = deaths.get(timeout=PATIENCE), deaths.get(timeout=PATIENCE)

    assert [first[2:], second[2:]] == [(code, 0.2), (code, 0.4)]
    assert first[1] != second[1]


def test_a_program_that_is_missing_does_not_stop_the_others(supervise, deaths, out):
    supervisor = supervise(Process(name="gone", command=["/no/such/program"]), Process(name="web", command=SLEEPER))

    death = deaths.get(timeout=PATIENCE)

    assert death == ("gone.1", 0, 127, 0.2)
    assert "cannot start" in out.wait_for("gone.1")
    assert "web.1" in supervisor.running()


def test_a_stop_lets_processes_finish_their_work(supervise, deaths, out):
    supervisor = supervise(Process(name="calls", command=DRAINER))
    out.wait_for("ready")

    supervisor.stop()

    out.wait_for("drained")
    assert supervisor.running() == {}
    assert deaths.empty()


def test_a_process_that_ignores_the_stop_is_killed_after_the_grace_time(supervise, out):
    supervisor = supervise(Process(name="stubborn", command=STUBBORN), grace=0.3)
    out.wait_for("ready")
    pids = supervisor.running().values()

    supervisor.stop()

    assert all_vanish(pids)


def test_a_stop_between_death_and_restart_starts_nothing(supervise, deaths):
    supervisor = supervise(Process(name="short", command=["true"]))
    deaths.get(timeout=PATIENCE)
    deaths.get(timeout=PATIENCE)

    supervisor.stop()

    assert supervisor.running() == {}
    assert supervisor.wait(0)


def test_a_stop_ends_what_a_dead_master_left_behind(supervise, out, deaths):
    supervisor = supervise(Process(name="master", command=MASTER))
    orphan = int(out.wait_for("ready").split()[-1])
    os.kill(supervisor.running()["master.1"], signal.SIGKILL)
    deaths.get(timeout=PATIENCE)
    second = int(out.wait_for("ready").split()[-1])

    supervisor.stop()

    assert all_vanish([orphan, second])


def test_what_a_dead_master_left_behind_is_killed_after_the_grace_time(supervise, out, deaths):
    supervisor = supervise(Process(name="master", command=MASTER), grace=0.3)
    orphan = int(out.wait_for("ready").split()[-1])

    os.kill(supervisor.running()["master.1"], signal.SIGKILL)
    deaths.get(timeout=PATIENCE)

    assert all_vanish([orphan])


LAUNCHER = """
import sys
from deploy.supervisor import Process, Supervisor
Supervisor([Process(name=str(n), command=command.split("|")) for n, command in enumerate(sys.argv[1:])]).run()
print("over", flush=True)
"""


@pytest.fixture
def launch():
    """Runs a supervisor in a process of its own, which signals and kills can be aimed at."""
    launched = []

    def start(*commands):
        launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *("|".join(command) for command in commands)],
            stdout=subprocess.PIPE,
            text=True,
        )
        launched.append(launcher)
        return launcher

    yield start
    for launcher in launched:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()


def read_until(launcher, text, times=1):
    while times:
        times -= text in launcher.stdout.readline()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor_drains_its_processes(launch, signum):
    launcher = launch(DRAINER, DRAINER)
    read_until(launcher, "ready", times=2)

    launcher.send_signal(signum)

    read_until(launcher, "drained", times=2)
    read_until(launcher, "over")
    assert launcher.wait(PATIENCE) == 0


def test_a_second_signal_kills_at_once(launch):
    launcher = launch(STUBBORN)
    read_until(launcher, "ready")
    children = psutil.Process(launcher.pid).children(recursive=True)

    launcher.send_signal(signal.SIGTERM)
    threading.Timer(0.2, launcher.send_signal, [signal.SIGTERM]).start()  # two at once would be one

    assert launcher.wait(PATIENCE) == 0
    assert all_vanish([child.pid for child in children])


WORKER = """
import multiprocessing, os, signal, sys, time
from shared import lifeline

def work(by_kernel):
    if by_kernel:
        lifeline.die_with_parent()
    lifeline.watch_parent(0.05)
    print("ready", os.getpid(), flush=True)
    signal.pause()

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    multiprocessing.Process(target=work, args=(sys.argv[2] == "kernel",)).start()
"""


@pytest.mark.parametrize(
    ("start_method", "how"),
    [
        ("fork", "kernel"),
        ("spawn", "kernel"),
        ("forkserver", "kernel"),
        ("fork", "watchdog"),
        ("spawn", "watchdog"),
    ],
)
def test_kill_9_of_the_supervisor_leaves_no_process_behind(launch, tmp_path, start_method, how):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    launcher = launch(SLEEPER, DRAINER, [sys.executable, str(script), start_method, how])
    worker = launcher.stdout.readline()
    while "ready " not in worker:
        worker = launcher.stdout.readline()
    family = [child.pid for child in psutil.Process(launcher.pid).children(recursive=True)]

    launcher.kill()

    assert int(worker.split()[-1]) in family
    assert all_vanish(family)


def test_kill_9_of_a_master_ends_its_worker(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    with subprocess.Popen(
        [sys.executable, str(script), "spawn", "kernel"], stdout=subprocess.PIPE, text=True
    ) as master:
        worker = int(master.stdout.readline().split()[-1])

        master.kill()

        assert all_vanish([worker])


def test_an_idle_supervisor_uses_no_processor_time(launch):
    launcher = launch(SLEEPER, SLEEPER, DRAINER)
    read_until(launcher, "ready")
    process = psutil.Process(launcher.pid)
    before = sum(process.cpu_times()[:2]), process.num_ctx_switches().voluntary

    time.sleep(0.5)

    after = sum(process.cpu_times()[:2]), process.num_ctx_switches().voluntary
    assert after[0] - before[0] <= 0.02
    assert after[1] - before[1] <= 5
