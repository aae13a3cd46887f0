"""A worker as the Procfile runs it: a process that drains on SIGTERM and never lives on half dead."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.receiver import Mode, ModeKind
from shared import jobs
from tests.integration.callback_stage import stages
from tests.integration.worker_processes import arguments, running, until
from workers.actors import declare_actors

_ROOT = Path(__file__).parents[2]
_HALF_DEAD = """
from shared.broker import WakeUpConsumer
from workers.main import run

def die(consumer):
    raise SystemExit

WakeUpConsumer.__next__ = die
run(["deliver_callbacks"], threads=1)
"""
_FAILING = """
import os
from workers import actors
from workers.main import run

class Fails(actors.DeliverCallbacks):
    def __call__(self):
        os.write(2, b"rung\\n")
        raise RuntimeError("planted")

actors.DeliverCallbacks = Fails
run(["deliver_callbacks"], threads=1)
"""


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        stage.services.broker.client.flushall()
        yield stage


def test_every_job_has_an_actor_that_hears_it_and_a_ring_of_its_own(stage):
    services = stage.make_services()
    steps = declare_actors(services)
    queues = {job.queue for job in jobs.ALL}

    assert set(services.broker.get_declared_actors()) == {job.name for job in jobs.ALL}
    assert services.broker.get_declared_queues() == set(services.broker.doorbells) == queues
    assert services.broker.get_declared_delay_queues() == set()
    steps.drain()


def test_sigterm_ends_a_worker_soon_with_its_callback_delivered_and_recorded(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=0.6))

    with running(stage.settings, arguments()) as process:
        stage.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        stage.receiver.wait_for(len, timeout_s=20)
        process.terminate()
        told_at = time.monotonic()
        code = process.wait(15)

    assert code == 0
    assert time.monotonic() - told_at < 8
    row = stage.row("callbacks", callback_id)
    assert (row.state, row.attempts) == ("done", 1)


def test_a_worker_whose_consumer_thread_died_ends_with_an_error(stage, tmp_path):
    (tmp_path / "half_dead.py").write_text(_HALF_DEAD)

    with running(stage.settings, [sys.executable, tmp_path / "half_dead.py"], PYTHONPATH=str(_ROOT)) as process:
        code = process.wait(20)
        told = process.stderr.read()

    assert code not in (0, None)
    assert "consumer_thread_died" in told


def test_a_step_that_fails_is_not_tried_again_by_dramatiq(stage):
    with running(stage.settings, [sys.executable, "-c", _FAILING]) as process:
        stage.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        next(line for line in process.stderr if line == "rung\n")
        process.terminate()
        process.communicate(timeout=20)

    # A retry would wait in a delay queue, which nobody consumes.
    assert stage.services.broker.client.keys("*.DQ*") == []


def test_a_worker_looks_at_once_for_what_a_dead_one_was_rung_for(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())

    with running(stage.settings, arguments()) as process:
        stage.receiver.wait_for(len, timeout_s=20)
        process.terminate()
        process.wait(15)

    assert stage.row("callbacks", callback_id).state == "done"


def test_a_worker_told_to_end_while_it_starts_ends_cleanly(stage):
    with running(stage.settings, arguments()) as process:
        until(lambda: blocks_sigterm(process.pid))
        process.terminate()

        assert process.wait(20) == 0


def test_a_second_signal_ends_a_worker_that_drains_at_once(stage):
    stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=4))

    with running(stage.settings, arguments()) as process:
        stage.receiver.wait_for(len, timeout_s=20)
        until(lambda: process.terminate() or process.poll() is not None, 2)  # two that come at once count as one

        assert process.returncode == -signal.SIGTERM


def test_a_sweeper_ends_however_many_signals_tell_it_to(stage):
    """The kernel, a supervisor and a person may all send one, and each may come while another is being handled."""
    with running(stage.settings, arguments("sweeper"), SWEEP_INTERVAL_SECONDS="0.1") as process:
        until(lambda: stage.database.run(lambda c: c.exec_driver_sql("SELECT FROM heartbeats").rowcount))
        ends_at = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < ends_at:
            process.terminate()

        assert process.wait(1) == 0


def test_the_collector_that_rests_while_a_worker_is_wired_works_afterwards():
    code = "import gc; gc.disable(); from shared import collector; collector.spare_the_living(); print(gc.isenabled())"

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT).stdout

    assert told == "True\n"


def blocks_sigterm(pid):
    """Whether the main thread of a process waits for SIGTERM instead of dying of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:")).split()[1]
    return bool(int(blocked, 16) >> (signal.SIGTERM - 1) & 1)
