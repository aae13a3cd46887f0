"""A worker as the Procfile runs it: a process that drains on SIGTERM and never lives on half dead."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.demo.surroundings import environment_of
from deploy.procfile import parse_procfile
from deploy.receiver import Mode, ModeKind
from shared import jobs
from tests.integration.callback_stage import stages
from workers.actors import declare_actors

_ROOT = Path(__file__).parents[2]
_COMMANDS = parse_procfile((_ROOT / "Procfile").read_text())
_HALF_DEAD = """
from shared.broker import WakeUpConsumer
from workers.main import start as whole

def start():
    whole()
    WakeUpConsumer.__next__ = die

def die(consumer):
    raise SystemExit
"""
_FAILING = """
import os
from workers import actors
from workers.main import start

class Fails(actors.DeliverCallbacks):
    def __call__(self):
        os.write(2, b"rung\\n")
        raise RuntimeError("planted")

actors.DeliverCallbacks = Fails
"""


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        stage.services.broker.client.flushall()
        yield stage


def arguments(name="callbacks"):
    """The Procfile's command line of *name*, for this interpreter."""
    return [sys.executable, "-m", *_COMMANDS[name].split()]


@contextmanager
def running(stage, command, **environment):
    known = {"PATH": os.environ["PATH"], **environment_of(stage.settings), **environment}
    process = subprocess.Popen(command, env=known, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


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

    with running(stage, arguments()) as process:
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
    command = [word if word != "workers.main:start" else "half_dead:start" for word in arguments()]

    with running(stage, [*command, "--path", ".", str(tmp_path)]) as process:
        code = process.wait(20)
        told = process.stderr.read()

    assert code not in (0, None)
    assert "consumer_thread_died" in told


def test_a_step_that_fails_is_not_tried_again_by_dramatiq(stage, tmp_path):
    (tmp_path / "failing.py").write_text(_FAILING)
    command = [word if word != "workers.main:start" else "failing:start" for word in arguments()]

    with running(stage, [*command, "--path", ".", str(tmp_path)]) as process:
        stage.services.doorbell.ring(jobs.DELIVER_CALLBACKS)
        next(line for line in process.stderr if line == "rung\n")
        process.terminate()
        process.communicate(timeout=20)

    # A retry would wait in a delay queue, which nobody consumes.
    assert stage.services.broker.client.keys("*.DQ*") == []
