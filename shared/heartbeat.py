"""
Signs of life of a worker process, for whoever probes its container or its unit.

A process that gets on with its work writes the machine's monotonic clock into a file, once a second. The file is locked
for as long as the process lives, so that one left behind tells of nobody. To look, nothing but the file is needed, and
what is away (PostgreSQL, Redis, 8x8) stops no beat: a worker must not be killed for it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Without a beat for so long, in seconds, a process is stopped or stuck.
SILENT_S: Final = 30.0
#: One piece of work may take so long, in seconds: longer than name servers that never answer can hold it up.
STUCK_S: Final = 300.0
#: The sweeper has no queues.
SWEEPER: Final = "sweeper"

_FOLDER: Final = "beats"
_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Beat:
    """A living process's last sign of life."""

    pid: int
    age_s: float


def name_of(queues: Iterable[str]) -> str:
    """What the process that consumes *queues* is called."""
    return "+".join(sorted(queues))


def beats(data_dir: Path, name: str) -> list[Beat]:
    """The last beat of each living process called *name*. A beat's age is that of this machine's monotonic clock."""
    found = []
    for path in sorted((data_dir / _FOLDER).glob(f"{name}.*")):
        with suppress(OSError, ValueError):  # it ended meanwhile, or is about to begin
            with path.open() as file:
                if not _is_held(file.fileno()):
                    continue
                pid, beat_at = file.read().split()
            found.append(Beat(int(pid), time.monotonic() - float(beat_at)))
    return found


class Heartbeat:
    """A process's beat, and the thread that gives it."""

    def __init__(self, data_dir: Path, name: str, is_well: Callable[[], bool], *, watchdog: str = "") -> None:
        """
        Args:
            data_dir: RINGPOST_DATA_DIR.
            name: Of all processes of its kind.
            is_well: Whether work goes on. While it says no, no beat is given.
            watchdog: systemd's socket (NOTIFY_SOCKET), which is told of each beat; empty: there is none.
        """
        self._folder = data_dir / _FOLDER
        self._name = name
        self._is_well = is_well
        self._watchdog = watchdog.replace("@", "\0", 1) if watchdog.startswith("@") else watchdog
        self._file: int | None = None
        self._has_told = False

    def start(self) -> None:
        """Beat for as long as the process lives and is well."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def _run(self) -> None:
        while True:
            if self._is_well():
                self._beat()
            time.sleep(_PAUSE_S)

    def _beat(self) -> None:
        """No failure may end the thread: work goes on without a place to tell of it."""
        try:
            if self._file is None:
                self._open()
            else:
                _write(self._file)
        except OSError as error:
            if not self._has_told:
                import structlog  # here, as a probe reads this file and must cost little

                structlog.get_logger().warning("heartbeat_not_written", folder=str(self._folder), error=error.strerror)
            self._has_told = True
        if self._watchdog:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.setblocking(False)
                systemd.sendto(b"WATCHDOG=1", self._watchdog)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_left()
        path = self._folder / f"{self._name}.{secrets.token_hex(8)}"
        unnamed = path.with_name(f".{path.name}")
        file = os.open(unnamed, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            # Locked and written before it has the name that others look for.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(file)
            unnamed.rename(path)
        except OSError:
            os.close(file)
            raise
        self._file = file

    def _remove_left(self) -> None:
        """Files of processes that are gone."""
        for path in self._folder.glob(f"{self._name}.*"):
            with suppress(OSError), path.open() as file:
                if not _is_held(file.fileno()):
                    path.unlink()


def _write(file: int) -> None:
    os.pwrite(file, f"{os.getpid():>10} {time.monotonic():>20.3f}\n".encode(), 0)


def _is_held(file: int) -> bool:
    """Whether a living process has the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
