"""The processes around Ringpost: 8x8, a provider's sender and its receiver. Each outlives every fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from deploy import fleet
from shared.lifeline import die_with_parent

_BOOT_S: Final = 30.0
_END_S: Final = 5.0


class CompanionError(Exception):
    """A process around Ringpost ended, or did not begin; the text says which."""


class Companion:
    """A module of ours as a process, as a context manager; it ends with us, however we end."""

    def __init__(
        self,
        module: str,
        log: Path,
        *arguments: str,
        told: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            module: Run with ``python -m``.
            log: Where it complains.
            arguments: For its command line.
            told: Called with each line that it prints, from another thread.
            environment: Its own; ours by default.
        """
        self._command = [sys.executable, "-m", module, *arguments]
        self._name = module.rpartition(".")[2]
        self._log = log
        self._environment = environment
        self._told = told or (lambda _: None)
        self._has_spoken = threading.Event()

    def __enter__(self) -> Self:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=fleet.PROJECT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # The scheduler of a desktop shares by session, and a Ctrl-C of the terminal is for us to act upon.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGKILL, os.getpid()),  # noqa: PLW1509, it takes no lock
            )
        self._reader = threading.Thread(target=self._read, name=self._name, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def ask(self, line: str) -> None:
        """Write a line to it."""
        pipe: IO[str] | None = self._process.stdin
        assert pipe is not None
        pipe.write(line + "\n")
        pipe.flush()

    def await_word(self) -> Self:
        """
        Return when it has said something.

        Raises:
            CompanionError: It did not, or has ended.
        """
        if not self._has_spoken.wait(_BOOT_S) or self._process.poll() is not None:
            raise CompanionError(f"the {self._name} does not come up: see {self._log}")
        return self

    def join(self) -> int:
        """Its exit code, when it has ended by itself and all that it said was heard."""
        code = self._process.wait()
        self._reader.join()
        return code

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> None:
        """
        Return when it has ended by itself and all is well.

        Raises:
            CompanionError: It has not, or it is not.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise CompanionError(f"the {self._name} did not end within {timeout_s:g} s") from None
        if code:
            raise CompanionError(f"the {self._name} ended with code {code}: see {self._log}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._told(line.strip())
            self._has_spoken.set()
        self._has_spoken.set()


def simulator(port: int, log: Path, **options: object) -> Companion:
    """8x8, not started yet; *options* are ``SimulatorSettings``."""
    return Companion("deploy.simulator", log, "--port", str(port), "--json-options", json.dumps(options))


def sender(log: Path, told: Callable[[int], None]) -> Companion:
    """A sender, not started yet; *told* hears how many messages were accepted."""
    return Companion("deploy.chaos.load", log, told=lambda line: told(int(line)))
