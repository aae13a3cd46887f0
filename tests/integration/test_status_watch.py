"""``ringpost status --watch`` on a terminal of its own: figures that keep up with the truth, until Ctrl-C."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.conftest import environment_of

RINGPOST = Path(sys.executable).with_name("ringpost")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of 120 columns, as a context manager."""

    def __init__(self, *arguments, **environment):
        self._arguments = arguments
        self._environment = os.environ | environment | {"TERM": "xterm", "COLUMNS": "120", "LINES": "60"}

    def __enter__(self):
        self._ours, theirs = pty.openpty()
        command = [RINGPOST, *self._arguments]
        self._process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=self._environment)
        os.close(theirs)
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)

    def shows(self, *wanted):
        """Wait until a page that came after this call has each of the *wanted*."""
        seen, ends = "", time.monotonic() + 30
        while not all(re.search(one, seen) for one in wanted):
            assert time.monotonic() < ends, seen
            seen += CONTROL.sub("", os.read(self._ours, 65536).decode(errors="replace"))

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)
        while self._process.poll() is None:
            try:
                os.read(self._ours, 65536)  # else it waits for the terminal
            except OSError:
                break
        return self._process.wait(timeout=20)


def test_the_page_keeps_up_until_ctrl_c(settings, accepted):
    with Terminal("status", "--watch", **environment_of(settings)) as terminal:
        terminal.shows(r"otp +│ 0 ", "Ctrl-C ends", "the sweeper never was heard of")

        accepted("OTP1", "OTP2")
        terminal.shows(r"otp +│ 2 ")

        assert terminal.interrupt() == 1  # bad news


def test_an_outage_is_told_and_does_not_end_it(settings):
    away = environment_of(settings) | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    with Terminal("status", "--watch", **away) as terminal:
        terminal.shows("PostgreSQL cannot be reached")
        terminal.shows("PostgreSQL cannot be reached")

        assert terminal.interrupt() == 1


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_programs_are_told_to_look_once(ringpost, more):
    result = ringpost("status", "--watch", *more)

    assert (result.exit_code, result.stderr) == (
        2,
        "--watch is for people at a terminal; for programs there is --json, once\n",
    )
