"""Processes that a benchmark runs side by side, and what each role has used so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
import requests

from deploy.procfile import Process
from deploy.supervisor import Supervisor

_BOOT_S: Final = 90.0
_LOOK_S: Final = 0.05
_DRAIN_S: Final = 8.0
_MIB: Final = 2**20
_SETTLE_S: Final = 20.0
_REST_S: Final = 0.4
_REST_SHARE: Final = 0.15  # of a core


class CrewError(Exception):
    """A process of a benchmark does not come up; the text says which."""


class Crew:
    """Some processes under a supervisor of their own, as a context manager; what they say goes to a file."""

    def __init__(self, processes: Iterable[Process], log: Path, *, ready_url: str | None = None) -> None:
        """
        Args:
            processes: What to run.
            log: Where their output is added to.
            ready_url: Answers 200 when they can be used; None to wait for the processes' children only.
        """
        self._processes = list(processes)
        self._log = log.open("a")
        self._ready_url = ready_url
        self._supervisor = Supervisor(self._processes, out=self._log, grace=_DRAIN_S)

    def __enter__(self) -> Self:
        self._supervisor.start()
        try:
            self._await_ready()
            self.settle()
        except BaseException:
            self._supervisor.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._supervisor.stop()
        self._log.close()

    def settle(self) -> None:
        """Return when the processes have come to rest, which a booting one has not; after some time in any case."""
        deadline = time.monotonic() + _SETTLE_S
        before = sum(self.spent_s().values())
        while time.monotonic() < deadline:
            time.sleep(_REST_S)  # the time over which rest is measured
            spent = sum(self.spent_s().values())
            if spent - before < _REST_SHARE * _REST_S:
                return
            before = spent

    def families(self) -> dict[str, list[psutil.Process]]:
        """The living processes of each role: what the supervisor started, and all that those did."""
        found: dict[str, list[psutil.Process]] = {}
        for name, pid in self._supervisor.running().items():
            with suppress(psutil.Error):
                head = psutil.Process(pid)
                found.setdefault(name.rpartition(".")[0], []).extend([head, *head.children(recursive=True)])
        return found

    def spent_s(self) -> dict[str, float]:
        """Processor seconds of each role since it was started."""
        return {name: family_spent_s(family) for name, family in self.families().items()}

    def memory_mib(self) -> dict[str, float]:
        """Resident memory of each role's largest process."""
        return {name: max(map(resident_mib, family), default=0.0) for name, family in self.families().items()}

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _BOOT_S
        wanted = {process.name for process in self._processes}
        while time.monotonic() < deadline:
            with suppress(requests.RequestException):
                if wanted <= self.families().keys() and (
                    self._ready_url is None or requests.get(self._ready_url, timeout=1).ok
                ):
                    return
            time.sleep(_LOOK_S)  # other processes boot, and tell nobody
        raise CrewError(f"{', '.join(sorted(wanted))} did not come up: see {self._log.name}")


def family_spent_s(family: Iterable[psutil.Process]) -> float:
    """Processor seconds of processes and of the children that they have buried."""
    total = 0.0
    for process in family:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_mib(process: psutil.Process) -> float:
    """Resident memory; 0 for one that is gone."""
    with suppress(psutil.Error):
        resident: float = process.memory_info().rss / _MIB
        return resident
    return 0.0


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """What each role used in between."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}
