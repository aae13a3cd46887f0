"""Starting, awaiting and ending an engine's process."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from os import environ, getpid, kill
from pathlib import Path
from typing import Final

from deploy.engines.identity import Identity
from deploy.engines.ladder import EngineError
from shared.lifeline import die_with_parent

SILENT_LIMIT: Final = 15.0  # s until an engine that does not answer has failed to start
BUSY_LIMIT: Final = 120.0  # s for one that answers, but is still reading its log after a crash
LEFTOVER_LIMIT: Final = 5.0  # s for processes of an earlier launcher to end
FIRST_PAUSE: Final = 0.004  # s
LONGEST_PAUSE: Final = 0.1  # s
TAIL_LINES: Final = 12

# The death signal comes when the *thread* that forked ends, so one thread that lives as long as
# this process forks every engine, whichever thread asks for it.
_forker: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engines")


class Answer(Enum):
    """What an engine says when asked whether it is up."""

    SILENT = auto()
    BUSY = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, as whom, where its output goes, and which signal ends it with its launcher."""

    command: Sequence[str]
    identity: Identity
    death_signal: int
    log: Path


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """
    Start an engine in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Raises:
        EngineError: The program does not run.
    """
    launcher = getpid()

    def become() -> None:
        launch.identity.assume()
        die_with_parent(launch.death_signal, launcher)

    def fork() -> subprocess.Popen[bytes]:
        launch.log.touch(mode=0o600)
        with launch.log.open("ab") as log:
            return subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=engine_environment(),
                start_new_session=True,
                preexec_fn=become,  # noqa: PLW1509, what it calls is loaded before the fork and takes no lock
            )

    try:
        return _forker.submit(fork).result()
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{launch.command[0]} does not start: {error}") from error


def engine_environment() -> dict[str, str]:
    """Ours without PG*, which would redirect PostgreSQL's programs to someone else's server."""
    return {name: value for name, value in environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def await_ready(name: str, process: subprocess.Popen[bytes], ask: Callable[[], Answer], log: Path) -> None:
    """
    Return as soon as *ask* says READY.

    Raises:
        EngineError: It ended or stayed silent; it is killed, and the text ends with its log's last lines.
    """
    started, pause = time.monotonic(), FIRST_PAUSE
    while (answer := ask()) is not Answer.READY:
        age = time.monotonic() - started
        if process.poll() is not None or age > (BUSY_LIMIT if answer is Answer.BUSY else SILENT_LIMIT):
            code = process.poll()
            end(process, ())
            what = f"did not answer within {age:.0f} s" if code is None else f"ended with code {code}"
            raise EngineError(f"{name} {what} while starting; {log} says:\n{tail(log)}")
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def end(process: subprocess.Popen[bytes], steps: Iterable[tuple[int, float]]) -> None:
    """Send each (signal, seconds to wait) until the process has ended; the last step is always SIGKILL."""
    for signum, seconds in steps:
        process.send_signal(signum)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()


def tail(log: Path) -> str:
    """The log's last lines."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-TAIL_LINES:])


def end_leftovers(folder: Path, program: str, signum: int) -> None:
    """
    End what an earlier launcher left running on *folder*: *signum* first, SIGKILL if that does not help.

    Its engines get their death signal, but may need a moment longer than the launcher's lock.

    Raises:
        EngineError: psutil is missing.
    """
    for this_signal in (signum, signal.SIGKILL):
        deadline = time.monotonic() + LEFTOVER_LIMIT
        pids = _users_of(folder, program)
        for pid in pids:
            with suppress(ProcessLookupError):
                kill(pid, this_signal)
        while pids and time.monotonic() < deadline:
            time.sleep(FIRST_PAUSE)
            pids = _users_of(folder, program)


def _users_of(folder: Path, program: str) -> list[int]:
    """
    Pids of the living processes of *program* on *folder*.

    A pid file proves nothing: the pid may be a zombie's or belong to another program by now.
    But both engines make their data folder their working directory, and no two may share one.
    """
    try:
        import psutil
    except ImportError as error:
        raise EngineError(f"{folder} was not closed cleanly; to check it: pip install psutil") from error
    return [
        process.pid
        for process in psutil.process_iter(["cwd", "name", "status"])
        if process.info["cwd"] == str(folder.resolve())
        and program in (process.info["name"] or "")
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
