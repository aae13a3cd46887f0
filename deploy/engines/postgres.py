"""A private PostgreSQL on a unix socket."""

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from deploy.engines.home import Home
from deploy.engines.identity import Identity, for_postgres
from deploy.engines.ladder import EngineError, Found
from deploy.engines.process import (
    Answer,
    Launch,
    await_ready,
    end,
    end_leftovers,
    engine_environment,
    spawn,
)

USER: Final = "ringpost"
DATABASE: Final = "ringpost"
PORT: Final = 5432  # only part of the socket's name
OLDEST_MAJOR: Final = 14
CONNECT_LIMIT: Final = 5  # s
INITDB_LIMIT: Final = 120  # s

SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "timezone": "UTC",
    # Statements carry message texts in their parameters; keep both out of the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
}
# For tests only: a power cut may destroy the data.
FAST_SETTINGS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

StopMode = Literal["fast", "immediate"]
STOPS: Final[dict[StopMode, Sequence[tuple[int, float]]]] = {
    "fast": ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0)),
    "immediate": ((signal.SIGQUIT, 5.0),),
}


class Postgres:
    """
    One cluster in the data folder. Whoever starts it holds the folder's lock.

    The superuser is ``ringpost``; the socket's folder, which only its owner can enter, is the only guard.
    """

    def __init__(self, home: Home, found: Found, *, fast: bool = False) -> None:
        self.source: Final = found.source
        self.version = "unknown"
        self.where: Final = home.run
        self._home = home
        self._programs = found.path
        self._settings = SETTINGS | {"unix_socket_directories": f'"{home.run}"'} | (FAST_SETTINGS if fast else {})
        self._identity: Identity | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's pid while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str = DATABASE) -> str:
        """Where SQLAlchemy and psycopg2 find *database*. The port is named because PGPORT could change it."""
        return f"postgresql://{USER}@/{quote(database)}?host={quote(str(self.where))}&port={PORT}"

    def start(self) -> None:
        """
        Start, make the database if it is missing, and return when it answers.

        Raises:
            EngineError: It does not start; the text says why.
        """
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """The first half of ``start``: fork the server, making its cluster if there is none."""
        if self.pid is not None:
            return
        self._home.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        identity = self._settle_identity()
        self._home.make_run_folder(identity)
        if not self._home.postgres.exists():
            self._make_cluster(identity)
        self._check_cluster(identity)
        self._clear_leftovers()
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._home.postgres), *options]
        self._process = spawn(Launch(command, identity, signal.SIGINT, self._home.postgres_log))

    def await_ready(self) -> None:
        """The second half of ``start``."""
        if self._process is None:
            raise EngineError("PostgreSQL was not started")
        await_ready("PostgreSQL", self._process, self._answer, self._home.postgres_log)
        self.create_database(DATABASE)

    def stop(self, mode: StopMode = "fast") -> None:
        """End it: "fast" closes the files cleanly, "immediate" leaves a crash to recover from."""
        if self._process:
            end(self._process, STOPS[mode])

    def kill(self) -> None:
        """Kill -9, as the kernel does when memory runs out. Its backends notice and end by themselves."""
        if self._process:
            end(self._process, ())

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Make database *name* as a copy of *template* unless it exists, and return its URL."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    names = (sql.Identifier(name), sql.Identifier(template))
                    cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        finally:
            connection.close()
        return self.url(name)

    def _connect(self) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host=str(self.where), port=PORT, user=USER, dbname="postgres", connect_timeout=CONNECT_LIMIT
        )

    def _answer(self) -> Answer:
        try:
            self._connect().close()
        except psycopg2.OperationalError as error:
            return Answer.BUSY if "the database system is" in str(error) else Answer.SILENT
        return Answer.READY

    def _settle_identity(self) -> Identity:
        """As whom to run, found out once; learns the version on the way."""
        if self._identity is None:
            identity, printed = for_postgres(self._programs / "postgres", self._home.data_dir)
            self._identity, self.version = identity, _version_in(printed)
        if int(self.version.partition(".")[0]) < OLDEST_MAJOR:
            raise EngineError(f"PostgreSQL {self.version} is too old: {OLDEST_MAJOR} is the oldest that will do")
        return self._identity

    def _make_cluster(self, identity: Identity) -> None:
        """Initdb beside the final place, so that a kill in the middle leaves no half-made cluster there."""
        fresh = self._home.postgres.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if identity.uid != os.geteuid():
            os.chown(fresh, identity.uid, identity.gid)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [self._programs / "initdb", "-D", fresh, "-U", USER, *options],
            preexec_fn=identity.assume,
            cwd=fresh,
            env=engine_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INITDB_LIMIT,
            check=False,
        )
        if done.returncode:
            raise EngineError(f"initdb failed in {fresh}:\n{(done.stderr or done.stdout).strip()}")
        fresh.rename(self._home.postgres)

    def _check_cluster(self, identity: Identity) -> None:
        """Explain the two things that PostgreSQL itself would only complain about in its log."""
        folder = self._home.postgres
        owner = folder.stat().st_uid
        if owner != identity.uid:
            raise EngineError(
                f"{folder} belongs to {_user_name(owner)}, but PostgreSQL would run as "
                f"{_user_name(identity.uid)}: run as that user, or set RINGPOST_DATA_DIR to another folder"
            )
        major = (folder / "PG_VERSION").read_text().strip()
        if major != self.version.partition(".")[0]:
            raise EngineError(
                f"{folder} was made by PostgreSQL {major}, but the one found here is {self.version} "
                f"({self._programs}): install PostgreSQL {major}, or delete the folder and all its data"
            )

    def _clear_leftovers(self) -> None:
        """After a kill -9: end what still runs on the folder, then remove what claims that it runs."""
        pid_file = self._home.postgres / "postmaster.pid"
        if not pid_file.exists():
            return
        end_leftovers(self._home.postgres, "postgres", signal.SIGINT)
        for name in (pid_file, self.where / f".s.PGSQL.{PORT}", self.where / f".s.PGSQL.{PORT}.lock"):
            Path(name).unlink(missing_ok=True)


def _version_in(printed: str) -> str:
    """The number in ``postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)``."""
    match = re.search(r"\) (\d+(\.\d+)?)", printed)
    if match is None:
        raise EngineError(f"cannot tell PostgreSQL's version from {printed!r}")
    return match[1]


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
