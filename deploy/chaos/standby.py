"""A PostgreSQL that follows another asynchronously, stops hearing of it, and takes its place all the same."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psycopg2

from deploy.engines import Home, Postgres, find_postgres
from deploy.engines.identity import for_postgres
from deploy.engines.postgres import PORT
from deploy.trial import wait_until

_COPY_S: Final = 120.0
_PATIENCE_S: Final = 30.0
_SOCKET: Final = f".s.PGSQL.{PORT}"


class Standby:
    """
    A running standby of an embedded PostgreSQL.

    Clients know one address, as they do behind a proxy or a floating address: it is the primary's socket, which leads
    to the standby once that was promoted. Nobody else may start or stop the primary meanwhile.
    """

    def __init__(self, primary: Postgres, folder: Path) -> None:
        self._primary = primary
        self._home = Home(folder)
        self._server = Postgres(self._home, find_postgres())
        self._is_promoted = False

    @classmethod
    @contextmanager
    def following(cls, primary: Postgres, home: Home, folder: Path) -> Iterator[Self]:
        """
        Make one and let it follow; at the end what was promoted is at home where the primary was.

        Args:
            primary: Running.
            home: The primary's.
            folder: For the standby; made, and deleted at the end.
        """
        standby = cls(primary, folder)
        try:
            standby._follow()
            yield standby
        finally:
            standby._server.stop()
            if standby._is_promoted:
                standby._settle(home)
            shutil.rmtree(folder, ignore_errors=True)

    def _follow(self) -> None:
        programs = find_postgres().path
        self._home.data_dir.mkdir(mode=0o711, parents=True)
        identity, _ = for_postgres(programs / "postgres", self._home.data_dir)
        self._home.data_dir.chmod(0o711)
        shutil.chown(self._home.data_dir, identity.uid, identity.gid)
        subprocess.run(
            [programs / "pg_basebackup", "-D", self._home.postgres, "-d", self._primary.url("postgres"),
             "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            preexec_fn=identity.assume, cwd=self._home.data_dir, capture_output=True, timeout=_COPY_S, check=True,
        )  # fmt: skip
        self._server.start()

    def await_all(self) -> None:
        """Return when it has everything that was committed on the primary until now."""
        position = _ask(self._primary, "SELECT pg_current_wal_flush_lsn()")
        query = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: _ask(self._server, query), "the standby has every commit", _PATIENCE_S)

    def cut(self) -> None:
        """Let it hear nothing of the primary any more: what is committed there from now on, it lacks."""
        _ask(self._server, "ALTER SYSTEM SET primary_conninfo = ''")
        _ask(self._server, "SELECT pg_reload_conf()")
        query = "SELECT count(*) = 0 FROM pg_stat_wal_receiver"
        wait_until(lambda: _ask(self._server, query), "the standby hears nothing", _PATIENCE_S)

    def promote(self) -> None:
        """The primary dies, and the standby answers in its place, without the last commits."""
        self._primary.kill()
        self._is_promoted = True
        _ask(self._server, "SELECT pg_promote()")
        socket = self._primary.where / _SOCKET
        socket.unlink(missing_ok=True)
        socket.symlink_to(self._server.where / _SOCKET)

    def _settle(self, home: Home) -> None:
        """To all who hold the primary it is as if the server had been started again."""
        (self._primary.where / _SOCKET).unlink(missing_ok=True)
        shutil.rmtree(home.postgres)
        self._home.postgres.rename(home.postgres)
        self._primary.start()


def _ask(server: Postgres, query: str) -> Any:
    """The first value of the answer, if there is one."""
    connection = psycopg2.connect(server.url("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone() if cursor.description else None
    finally:
        connection.close()
    return row[0] if row else None
