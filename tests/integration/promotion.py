"""A PostgreSQL whose standby follows asynchronously, played by a copy of its folder, and the promotion of that."""

import shutil

import psycopg2


def copied(postgres, copy):
    """The folder of a stopped PostgreSQL once more, with the same owner."""
    shutil.copytree(postgres._home.postgres, copy, symlinks=True)
    owner = postgres._home.postgres.stat()
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    return copy


class Standby:
    """What a standby had been given when it was made; promoting it loses whatever was committed since."""

    def __init__(self, engines, folder):
        self._postgres = engines.postgres
        self._data = engines.postgres._home.postgres
        self._postgres.stop()
        self._copy = copied(self._postgres, folder / "standby")
        self._postgres.start()

    def promote(self):
        """The primary dies, the standby takes its place on a timeline of its own."""
        self._postgres.kill()
        shutil.rmtree(self._data)
        self._copy.rename(self._data)
        (self._data / "standby.signal").touch(0o600)
        shutil.chown(self._data / "standby.signal", self._data.stat().st_uid, self._data.stat().st_gid)
        self._postgres.start()
        connection = psycopg2.connect(self._postgres.url())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_promote()")
        connection.close()
