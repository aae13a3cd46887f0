"""The Procfile's lines, and how often each runs."""

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.heartbeat import SWEEPER, name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One line of the Procfile: *count* equal processes. A string runs in the shell, a list as it is."""

    name: str
    command: str | Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    count: int = 1
    #: What the kernel sends it when its supervisor dies.
    when_orphaned: signal.Signals = signal.SIGTERM

    def argv(self) -> list[str]:
        """A string may hold variables, as Procfiles do; exec makes the shell vanish, so signals arrive."""
        if isinstance(self.command, str):
            return ["/bin/sh", "-c", f"exec {self.command}"]
        return list(self.command)


def parse_procfile(text: str) -> dict[str, str]:
    """
    Each process's command by its name.

    Raises:
        ValueError: A line is not ``name: command``, or a name occurs twice.
    """
    commands: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9_-]+):\s*(\S.*?)\s*", line)
        if match is None:
            raise ValueError(f"Procfile line {number} is not 'name: command': {line!r}")
        if match[1] in commands:
            raise ValueError(f"Procfile line {number} names {match[1]} a second time")
        commands[match[1]] = match[2]
    return commands


def beat_of(command: str) -> str | None:
    """What the process of a line is called where worker processes give their signs of life; None if it gives none."""
    if command == "python -m workers.sweep":
        return SWEEPER
    match = re.fullmatch(r"python -m workers(?: --threads \d+)? (\S.*)", command)
    return name_of(match[1].split()) if match else None


def scaled(processes: Iterable[Process], counts: Mapping[str, int]) -> list[Process]:
    """
    *processes* with the counts of those named in *counts* replaced.

    Raises:
        ValueError: A name is unknown or a count negative.
    """
    known = {process.name: process for process in processes}
    for name, count in counts.items():
        if name not in known:
            raise ValueError(f"there is no process {name!r}; there are {', '.join(known)}")
        if count < 0:
            raise ValueError(f"{name} cannot run {count} times")
        known[name] = replace(known[name], count=count)
    return list(known.values())
