"""py-spy beside running processes: which Python stacks the holders of the interpreter had."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.bench.stacks import samples_by_part

_PER_SECOND: Final = 200
_END_S: Final = 5.0


class Sampler:
    """Samples some processes of each role, from another process and without stopping them."""

    def __init__(self, pids: Mapping[str, Sequence[int]], folder: Path) -> None:
        """
        Args:
            pids: The processes of each role.
            folder: Where the samples go.
        """
        self._targets = [(role, folder / f"{role}-{pid}.stacks", pid) for role in pids for pid in pids[role]]
        #: Samples by role and part; complete after :meth:`during`.
        self.found: dict[str, Counter[str]] = {role: Counter() for role in pids}
        #: Why processes could not be sampled, each reason once.
        self.failures: list[str] = []

    @contextmanager
    def during(self, seconds: float) -> Iterator[None]:
        """Sample for so long from now on, and take the samples in at the end."""
        program = _program()
        if program is None:
            self.failures.append("py-spy is not installed")
            yield
            return
        running = [self._start(program, pid, file, seconds) for _, file, pid in self._targets]
        try:
            yield
        finally:
            for (role, file, _), process in zip(self._targets, running, strict=True):
                self._take(role, file, process, seconds)

    @staticmethod
    def _start(program: str, pid: int, file: Path, seconds: float) -> subprocess.Popen[str]:
        how = ["--gil", "--nonblocking", "--rate", str(_PER_SECOND), "--format", "raw"]
        command = [
            program,
            "record",
            "--pid",
            str(pid),
            *how,
            "--duration",
            str(max(1, round(seconds))),
            "--output",
            str(file),
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def _take(self, role: str, file: Path, process: subprocess.Popen[str], seconds: float) -> None:
        try:
            _, said = process.communicate(timeout=seconds + _END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
        if file.exists():
            self.found[role] += samples_by_part(file.read_text(errors="replace").splitlines())
            file.unlink()
        elif (reason := _reason(said)) not in self.failures:
            self.failures.append(reason)


def _program() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "ermi" in line or "Error" in line), lines[-1] if lines else "no samples")
