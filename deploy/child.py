"""One life of a supervised process, and where its output goes."""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle
from typing import IO, Final, TextIO

from deploy.procfile import Process
from shared.lifeline import die_with_parent

COLOURS: Final = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")  # ANSI foregrounds
LAST_WORDS: Final = 0.2  # s for the output of an ended process to run dry


class Output:
    """Lines of many processes on one stream, each behind its process's name, coloured on a terminal."""

    def __init__(self, out: TextIO, names: Sequence[str]) -> None:
        self._out = out
        self._turn = threading.Lock()
        is_coloured = out.isatty() and "NO_COLOR" not in os.environ
        width = max(map(len, names), default=0)
        self._prefixes = {
            name: f"\x1b[{colour}m{name:<{width}} |\x1b[0m " if is_coloured else f"{name:<{width}} | "
            for name, colour in zip(names, cycle(COLOURS), strict=False)
        }

    def write(self, name: str, line: str) -> None:
        """Write one line. A reader that went away must not stop the processes, so its loss is ignored."""
        with self._turn, suppress(OSError, ValueError):
            self._out.write(f"{self._prefixes[name]}{line.rstrip()}\n")
            self._out.flush()


class Child:
    """A process in a session of its own, which the kernel tells to drain when its supervisor dies."""

    def __init__(self, name: str, process: Process, output: Output) -> None:
        """
        Start it.

        Raises:
            OSError: The program is missing or may not be run.
        """
        self._name = name
        self._output = output
        self._process = subprocess.Popen(
            process.argv(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **process.env},
            start_new_session=True,
            preexec_fn=partial(die_with_parent, process.when_orphaned, os.getpid()),  # noqa: PLW1509, it takes no lock
        )
        self._heirs_know = False
        self._pump = threading.Thread(target=self._copy_output, name=f"{name} output", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """Its pid, which is also the id of its process group."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it has not ended; what it started may live on."""
        return self._process.returncode is None

    def has_heirs(self) -> bool:
        """Whether something still holds its output, be it the process itself or what it started."""
        return self._pump.is_alive()

    def wait(self) -> int:
        """Its exit code, when it has ended; minus the signal's number if a signal did it."""
        code = self._process.wait()
        self._pump.join(LAST_WORDS)
        return code

    def terminate(self) -> None:
        """SIGTERM to the process; to its heirs when it has ended, as it cannot pass the signal on."""
        if self.is_alive():
            self._process.terminate()
        elif self.has_heirs() and not self._heirs_know:
            self._heirs_know = True
            self._signal_group(signal.SIGTERM)

    def kill_group(self) -> None:
        """SIGKILL to it and all it started. An ended group is left alone: its number may be in use again."""
        if self.is_alive() or self.has_heirs():
            self._signal_group(signal.SIGKILL)

    def await_heirs(self) -> None:
        """Return when nothing holds its output any more."""
        self._pump.join()

    def _signal_group(self, signum: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)

    def _copy_output(self) -> None:
        pipe: IO[bytes] | None = self._process.stdout
        if pipe is None:
            return
        with pipe:
            for line in pipe:
                self._output.write(self._name, line.decode(errors="replace"))
