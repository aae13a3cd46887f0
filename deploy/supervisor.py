"""Runs the Procfile's processes, starts the dead ones again, and drains them all on SIGTERM."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, TextIO

from deploy.child import Child, Output
from deploy.procfile import Process, parse_procfile, scaled

__all__ = ["Process", "Supervisor", "parse_procfile", "restart_delay", "scaled"]

FIRST_DELAY: Final = 0.2  # s before a process that died early is started again
LONGEST_DELAY: Final = 10.0  # s
HEALTHY_LIFE: Final = 5.0  # s after which a process was up and had served: its death counts as the first one
GRACE: Final = 30.0  # s from SIGTERM to SIGKILL; processes drain within 25
KILL_LIMIT: Final = 5.0  # s for killed processes to vanish
CANNOT_START: Final = 127  # the shell's code for a missing program

# Called with name, pid (0 when it could not be started), exit code and seconds until the next start.
OnExit = Callable[[str, int, int, float], None]


def restart_delay(previous: float, life: float, healthy_life: float = HEALTHY_LIFE) -> float:
    """Seconds to the next start, after one that waited *previous* s (0: it did not) and lived *life* s."""
    if life >= healthy_life:
        return 0
    return min(max(previous * 2, FIRST_DELAY), LONGEST_DELAY)


class Supervisor:
    """
    A set of processes that are kept running until ``stop``.

    Each has a session of its own and is told to drain by the kernel when the supervisor is killed.
    SIGTERM goes to each process itself and not to its group: granian's master passes it on,
    and its children take a second one as "stop at once". SIGKILL goes to the whole group.
    """

    def __init__(
        self,
        processes: Iterable[Process],
        *,
        out: TextIO | None = None,
        on_exit: OnExit | None = None,
        grace: float = GRACE,
        healthy_life: float = HEALTHY_LIFE,
    ) -> None:
        """
        Prepare without starting anything.

        Args:
            processes: What to run.
            out: Where their output goes, each line behind its process's name; standard output by default.
            on_exit: Told of each death that is followed by a new start; called from several threads.
            grace: Seconds from SIGTERM to SIGKILL.
            healthy_life: Seconds of life after which a dead process is started again at once.
        """
        started = [(process, number) for process in processes for number in range(1, process.count + 1)]
        names = [f"{process.name}.{number}" for process, number in started]
        output = Output(out or sys.stdout, names)
        self._asked: SimpleQueue[_Ask] = SimpleQueue()
        house = _House(self._asked, on_exit, grace, healthy_life)
        self._keepers: Final = [
            _Keeper(name, process, output, house) for name, (process, _) in zip(names, started, strict=True)
        ]
        self._grace = grace
        self._is_stopping = False  # a plain flag: a signal handler must not take an Event's lock
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start everything and return."""
        for keeper in self._keepers:
            keeper.thread.start()
        threading.Thread(target=self._conduct, name="supervisor", daemon=True).start()

    def run(self) -> None:
        """
        Start everything and return when SIGTERM or SIGINT (or ``stop``) has ended it.

        A second signal kills at once. Only for the main thread, which alone can have signal handlers.
        """
        before = {signum: signal.signal(signum, self._on_signal) for signum in (signal.SIGTERM, signal.SIGINT)}
        try:
            self.start()
            self.wait()
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether everything has ended, after at most *timeout* seconds."""
        return self._stopped.wait(timeout)

    def stop(self) -> None:
        """Drain: SIGTERM, SIGKILL after the grace time; returns when everything has ended."""
        if not self._is_stopping:
            self._is_stopping = True
            self._asked.put(_Ask.DRAIN)
        self.wait()

    def kill(self) -> None:
        """End everything at once; returns when it has ended."""
        self._is_stopping = True
        self._asked.put(_Ask.KILL)
        self.wait()

    def running(self) -> dict[str, int]:
        """The pids of the living processes by their names, such as ``calls-otp.1``."""
        pids = {keeper.name: keeper.pid for keeper in self._keepers}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        """Only leaves a note: the interrupted main thread may hold any lock."""
        self._asked.put(_Ask.KILL if self._is_stopping else _Ask.DRAIN)
        self._is_stopping = True

    def _conduct(self) -> None:
        """Wait for the wish to stop, then see it through."""
        while (ask := self._asked.get()) is _Ask.LOOK:
            pass
        for keeper in self._keepers:
            keeper.drain()
        deadline = time.monotonic() + (0 if ask is _Ask.KILL else self._grace)
        while not all(keeper.is_done for keeper in self._keepers):
            try:
                ask = self._asked.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
            if ask is _Ask.KILL:
                break
        for keeper in self._keepers:
            keeper.kill()
        for keeper in self._keepers:
            keeper.thread.join(KILL_LIMIT)
        self._stopped.set()


class _Ask(Enum):
    """What the conductor is woken for."""

    DRAIN = auto()
    KILL = auto()
    LOOK = auto()  # a keeper is done


@dataclass(frozen=True, slots=True)
class _House:
    """What all keepers share."""

    asked: "SimpleQueue[_Ask]"
    on_exit: OnExit | None
    grace: float  # s
    healthy_life: float  # s


class _Keeper:
    """
    Keeps one process alive, from a thread of its own.

    The thread forks the process and outlives it, because the kernel sends the death signal
    when the thread that forked ends.
    """

    def __init__(self, name: str, process: Process, output: Output, house: "_House") -> None:
        self.name: Final = name
        self.thread: Final = threading.Thread(target=self._keep, name=name, daemon=True)
        self.is_done = False
        self._process = process
        self._output = output
        self._on_exit = house.on_exit
        self._asked = house.asked
        self._grace = house.grace
        self._healthy_life = house.healthy_life
        self._ending = threading.Event()
        self._change = threading.Lock()  # so that no child is born after drain() or kill()
        self._children: list[Child] = []  # the last is the present one; others have heirs that drain

    @property
    def pid(self) -> int | None:
        with self._change:
            child = self._children[-1] if self._children else None
        return child.pid if child and child.is_alive() else None

    def drain(self) -> None:
        self._ending.set()
        with self._change:
            for child in self._children:
                child.terminate()

    def kill(self) -> None:
        self._ending.set()
        with self._change:
            for child in self._children:
                child.kill_group()

    def _keep(self) -> None:
        delay = 0.0
        while not self._ending.is_set():
            born = time.monotonic()
            pid, code = self._live()
            if self._ending.is_set():
                break
            delay = restart_delay(delay, time.monotonic() - born, self._healthy_life)
            if self._on_exit:
                with suppress(OSError, ValueError):  # a hook that prints to a terminal that went away
                    self._on_exit(self.name, pid, code, delay)
            self._ending.wait(delay)
        for child in self._children:
            child.terminate()
            child.await_heirs()
        self.is_done = True
        self._asked.put(_Ask.LOOK)

    def _live(self) -> tuple[int, int]:
        """One life: pid and exit code."""
        with self._change:
            if self._ending.is_set():
                return 0, 0
            try:
                child = Child(self.name, self._process, self._output)
            except (OSError, subprocess.SubprocessError) as error:
                self._output.write(self.name, f"cannot start: {error}")
                return 0, CANNOT_START
            self._children = [*(old for old in self._children if old.has_heirs()), child]
        code = child.wait()
        self._limit_heirs(child)
        return child.pid, code

    def _limit_heirs(self, child: Child) -> None:
        """What a dead master started drains beside the new one, told by its own lifeline, within bounds."""
        if child.has_heirs():
            limit = threading.Timer(self._grace, child.kill_group)
            limit.daemon = True
            limit.start()
