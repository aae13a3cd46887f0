"""
Webhooks on disk while PostgreSQL is away: appended, fsynced, replayed later.

Each process writes a file of its own under a lock that dies with it, so whoever finds a file without its lock may
replay it. Lines hold what the inbox would: sealed bodies. Replaying twice is harmless, as the inbox drops repeats.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from shared import failpoints
from shared.db.database import DatabaseAway
from shared.db.group_commit import GroupCommitter, Overloaded
from shared.db.queries.inbox import RawEvent
from shared.ids import new_id

_REPLAY_S: Final = 1
_REPLAY_BATCH: Final = 200
_COMMIT_S: Final = 5
#: Tries after which a line that fails or kills whoever replays it is set aside, as `.parked`.
_MAX_TRIES: Final = 5

log = structlog.get_logger()


class Spool:
    """One process's spool file, and the thread that empties the folder when PostgreSQL is back."""

    def __init__(self, folder: Path, events: GroupCommitter[RawEvent, None]) -> None:
        self._folder = folder
        self._events = events
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._stop = threading.Event()
        #: One at a time writes; of its own, as nothing else may keep a call action waiting.
        self.threads: Final = ThreadPoolExecutor(1, thread_name_prefix="spool")
        threading.Thread(target=self._run, name="spool-replay", daemon=True).start()

    def append(self, event: RawEvent) -> None:
        """
        Keep one webhook on disk.

        Raises:
            OSError: The disk does not take it either.
        """
        failpoints.hit("spool.before_write")
        line = json.dumps([event.dedupe_key, base64.b64encode(event.body).decode()]) + "\n"
        with self._lock:
            if self._file is None:
                self._open()
            assert self._file is not None
            try:
                _write(self._file, line.encode())
            except OSError:
                # It may end in half a line, to which the next one must not be joined.
                self._leave()
                raise
        failpoints.hit("spool.after_write")

    def close(self) -> None:
        """End the replaying thread; files stay for the next process."""
        self._stop.set()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._folder.stat().st_mode & 0o077:
            self._folder.chmod(0o700)  # made by somebody else
        path = self._folder / f"{new_id('spool')}.jsonl"
        unnamed = path.with_suffix(".new")
        handle = os.open(unnamed, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        # Locked before it has the name that replaying looks for.
        fcntl.flock(handle, fcntl.LOCK_EX)
        unnamed.rename(path)
        self._file, self._path = handle, path
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _leave(self) -> None:
        """Later webhooks go to a new file. The caller holds the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = self._path = None

    def _run(self) -> None:
        while not self._stop.wait(_REPLAY_S):
            for path in sorted(self._folder.glob("*.jsonl")):
                try:
                    self._replay(path)
                except (DatabaseAway, Overloaded):
                    break
                except Exception:  # one bad file must neither end the thread nor hold the others up
                    log.exception("spool_not_replayed")

    def _replay(self, path: Path) -> None:
        """Move a file's webhooks into the inbox, then delete it."""
        with self._lock:
            if path == self._path:
                self._leave()
        with _owned(path) as lines:
            if lines is None:
                return
            tried = _tries_of(path)
            if tried and len(lines) > 1:
                _halve(path, lines)
                return
            if tried >= _MAX_TRIES:
                path.rename(path.with_suffix(".parked"))
                log.error("spool_line_parked", file=path.name)
                return
            events = [event for event in map(_event, lines) if event is not None]
            failpoints.hit("spool.before_replay", events)
            # Counted first: a line that kills this process is counted, too.
            counted = path.rename(_named(path, tried + 1))
            try:
                for start in range(0, len(events), _REPLAY_BATCH):
                    self._events.put(events[start : start + _REPLAY_BATCH], _COMMIT_S)
            except (DatabaseAway, Overloaded):
                counted.rename(path)
                raise
            failpoints.hit("spool.after_replay", events)
            counted.unlink()
        log.info("spool_replayed", events=len(events))


def _tries_of(path: Path) -> int:
    """How often somebody began to replay the file and did not end: its name says so, `spool_….2.jsonl`."""
    number = path.stem.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0


def _named(path: Path, tried: int) -> Path:
    return path.with_name(f"{path.name.partition('.')[0]}.{tried}.jsonl")


def _halve(path: Path, lines: list[str]) -> None:
    """Part the line that spoils the replay from the others. A crash on the way doubles lines, which is harmless."""
    middle = len(lines) // 2
    for half in (lines[:middle], lines[middle:]):
        part = path.with_name(f"{new_id('spool')}.{_tries_of(path)}.jsonl")
        unnamed = part.with_suffix(".new")
        handle = os.open(unnamed, os.O_CREAT | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="ascii", errors="replace") as file:
            file.writelines(half)
            file.flush()
            os.fsync(handle)
        unnamed.rename(part)
    path.unlink()


def _write(file: int, line: bytes) -> None:
    if os.write(file, line) != len(line):
        raise OSError(errno.ENOSPC, "the spool file took only a part")
    os.fsync(file)


@contextmanager
def _owned(path: Path) -> Iterator[list[str] | None]:
    """The lines of a file that no living process writes to; None when one does, or it is gone."""
    try:
        handle = path.open("r+", encoding="ascii", errors="replace")
    except FileNotFoundError:
        yield None
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield handle.readlines() if path.exists() else None


def _event(line: str) -> RawEvent | None:
    """One kept webhook; None for a line cut short by a crash, which nobody was told is kept."""
    with suppress(ValueError, TypeError):
        dedupe_key, body = json.loads(line)
        return RawEvent(str(dedupe_key), base64.b64decode(body, validate=True))
    log.warning("spool_line_cut")
    return None
