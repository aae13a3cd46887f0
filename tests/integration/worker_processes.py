"""Workers as the Procfile runs them: processes that are killed at the latest when their test ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from deploy import fleet
from deploy.demo.surroundings import environment_of


def arguments(name="callbacks"):
    """The Procfile's command line of *name*, for this interpreter."""
    return [sys.executable, *fleet.commands()[name].split()[1:]]


@contextmanager
def running(settings, command, **environment):
    known = {"PATH": os.environ["PATH"], **environment_of(settings), **environment}
    process = subprocess.Popen(command, env=known, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(predicate, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.005)
