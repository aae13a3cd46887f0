"""The data folder: who may use it, and where the sockets go."""

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

from deploy.engines.identity import Identity, myself
from deploy.engines.ladder import EngineError

# sun_path holds 103 bytes on macOS and 107 on Linux; the smaller keeps a data folder portable.
SOCKET_PATH_LIMIT: Final = 103
LONGEST_SOCKET_NAME: Final = ".s.PGSQL.5432"
# libpq splits hosts at commas, SQLAlchemy at colons: such a path cannot be written into a URL.
PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._ +@=~-]+")


class Home:
    """One data folder. Holding its lock means that nobody else starts engines on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir: Final = data_dir.resolve()
        self.postgres: Final = self.data_dir / "postgres"
        self.valkey: Final = self.data_dir / "valkey"
        self.postgres_log: Final = self.data_dir / "postgres.log"
        self.valkey_log: Final = self.data_dir / "valkey.log"
        self.run: Final = _run_folder(self.data_dir)
        self._lock: int | None = None
        self._run_owner: Identity | None = None

    def lock(self) -> None:
        """
        Take the folder for this process; the kernel gives it back when the process dies.

        Raises:
            EngineError: Another live process has it, or the folder cannot be written.
        """
        try:
            # Open to search, so that PostgreSQL can run as another user; all that is in it is private.
            self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
            lock = os.open(self.data_dir / "engines.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EngineError(f"cannot use {self.data_dir} as data folder: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 32).decode().strip() or "unknown"
            os.close(lock)
            raise EngineError(f"another ringpost is using {self.data_dir} (pid {owner})") from None
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        self._lock = lock

    def unlock(self) -> None:
        """Let others use the folder. Harmless when the lock is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def make_run_folder(self, owner: Identity | None = None) -> None:
        """
        Make the sockets' folder, which only *owner* (and root) can enter.

        Without an owner it stays the one's who asked first, else it is ours.

        Raises:
            EngineError: Something of that name belongs to somebody else: it may be a trap.
        """
        self._run_owner = owner = owner or self._run_owner or myself()
        self.run.mkdir(mode=0o700, exist_ok=True)
        found = self.run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner.uid, os.geteuid()):
            raise EngineError(f"{self.run} belongs to somebody else: delete it, or set RINGPOST_DATA_DIR")
        self.run.chmod(0o700)
        if found.st_uid != owner.uid:
            os.chown(self.run, owner.uid, owner.gid)


def _run_folder(data_dir: Path) -> Path:
    """Inside the data folder, else a short private one under the temporary folder, always the same."""
    inside = data_dir / "run"
    longest = os.fsencode(inside / LONGEST_SOCKET_NAME)
    if len(longest) <= SOCKET_PATH_LIMIT and PLAIN_PATH.fullmatch(str(inside)):
        return inside
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"ringpost-{os.geteuid()}-{name}"
