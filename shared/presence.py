"""
Every process tells every few seconds that it lives, what it is and how large; and ends when an operator asks for it.

It is for people: nothing is decided by it. While PostgreSQL is away nothing is told, and the process goes on.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from shared.db.database import Database
from shared.db.queries import processes
from shared.db.queries.processes import Process
from shared.ids import new_id

_EVERY_S: Final = 5.0
_STATM: Final = Path("/proc/self/statm")

log = structlog.get_logger()


class Presence:
    """Tells of this process from a thread of its own, from :meth:`begin` to :meth:`end`."""

    def __init__(self, database: Database, work: str) -> None:
        self._database = database
        self._work = work
        self._id: Final = new_id("proc")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="presence", daemon=True)

    def begin(self) -> None:
        """Be seen."""
        self._thread.start()

    def end(self) -> None:
        """Be seen no more; the process ends by itself."""
        self._is_over.set()
        self._thread.join(_EVERY_S)
        try:
            self._database.run(partial(processes.leave, process_id=self._id), alone=True, patience_s=0.5)
        except Exception as error:  # noqa: BLE001  it is forgotten after a while
            log.info("process_not_signed_off", error=type(error).__name__)

    def _tell(self) -> None:
        is_told_to_end = False
        while not is_told_to_end and not self._is_over.is_set():
            try:
                is_told_to_end = self._database.run(
                    partial(processes.beat, process=self._process()), alone=True, patience_s=0.5
                )
            except Exception as error:  # noqa: BLE001  whatever it is, the work goes on
                log.info("process_not_seen", error=type(error).__name__)
            self._is_over.wait(0 if is_told_to_end else _EVERY_S)
        if is_told_to_end and not self._is_over.is_set():
            log.warning("process_drains", process_id=self._id)
            os.kill(os.getpid(), signal.SIGTERM)

    def _process(self) -> Process:
        return Process(self._id, self._work, socket.gethostname(), os.getpid(), _version(), _rss())


@cache
def _version() -> str:
    return version("ringpost")


def _rss() -> int | None:
    """Bytes of memory that are this process's; None outside Linux."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
