"""On what, and of what, the figures were taken."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from deploy import fleet


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Machine, commit, date, engines; ``load`` is what the machine had to do already when the run began."""

    machine: str
    python: str
    commit: str
    date: str
    engines: tuple[str, ...]
    load: float


def look_around(engines: Sequence[str]) -> Circumstances:
    """Describe this run; *engines* as they describe themselves."""
    memory_gib = psutil.virtual_memory().total / 2**30
    cores = os.cpu_count() or 1
    return Circumstances(
        machine=f"{cores} cores ({_processor()}), {memory_gib:.0f} GiB, {platform.system()} {platform.release()}",
        python=platform.python_version(),
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        # Where the sockets are says nothing, and would name a folder of this machine.
        engines=tuple(line.partition(", private:")[0] for line in engines),
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=fleet.PROJECT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    try:
        commit, changed = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except OSError:
        return "unknown"
    return f"{commit or 'unknown'}{' with changes' if changed else ''}"
