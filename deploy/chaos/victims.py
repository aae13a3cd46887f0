"""The processes of a supervised Ringpost, for whoever wants to kill one."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from deploy.supervisor import Supervisor

#: Roles whose supervised process leaves the work to its children.
_MASTERS: Final = frozenset({"web"})


def master_of(supervisor: Supervisor, role: str) -> int | None:
    """The pid of what the supervisor started; None while it is dead."""
    return supervisor.running().get(f"{role}.1")


def workers_of(supervisor: Supervisor, role: str) -> list[int]:
    """The pids of the processes that work: granian's children, else what was started."""
    master = master_of(supervisor, role)
    if master is None:
        return []
    if role not in _MASTERS:
        return [master]
    with suppress(psutil.Error):
        children = psutil.Process(master).children()
        return [child.pid for child in children if "resource_tracker" not in " ".join(child.cmdline())]
    return []


def kill(pid: int) -> None:
    """SIGKILL, unless it is gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def all_processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every living process that was given this data folder, orphans included."""
    found = []
    for process in psutil.process_iter(["status"]):
        with suppress(psutil.Error):
            is_ours = process.environ().get("RINGPOST_DATA_DIR") == str(data_dir)
            if is_ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
