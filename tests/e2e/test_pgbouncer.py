"""Every process behind PgBouncer as ``deploy/pgbouncer.ini`` sets it up: no connection is anybody's for long."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from deploy import fleet
from deploy.engines.identity import for_postgres
from shared.lifeline import die_with_parent
from tests.e2e.stage import Stage, free_port, wait_until

PGBOUNCER = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
POOL = 4  # fewer than there are processes
MESSAGES = 80

pytestmark = [
    pytest.mark.xdist_group("fleets"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed on this machine"),
]


@contextmanager
def pooled(database_url, folder):
    """PgBouncer before that database; its URL, and what ends and begins it anew."""
    behind, port = parse_dsn(database_url), free_port()
    folder.mkdir()
    text = (fleet.PROJECT / "deploy/pgbouncer.ini").read_text()
    for ours, theirs in {
        "ringpost = host=127.0.0.1 port=5432 dbname=ringpost": (
            f"ringpost = host={behind['host']} port={behind['port']} dbname={behind['dbname']} user={behind['user']}"
        ),
        "listen_port = 6432": f"listen_port = {port}\nunix_socket_dir =\nadmin_users = ringpost",
        "auth_type = scram-sha-256\nauth_file = /etc/pgbouncer/userlist.txt": "auth_type = any",
        "default_pool_size = 20": f"default_pool_size = {POOL}",
    }.items():
        assert ours in text
        text = text.replace(ours, theirs)
    path = folder / "pgbouncer.ini"
    path.write_text(text)
    path.chmod(0o644)
    identity, _ = for_postgres(Path(PGBOUNCER), folder)  # like PostgreSQL, it refuses to be root

    def become():
        identity.assume()
        die_with_parent()

    def start():
        process = subprocess.Popen(
            [PGBOUNCER, str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=become,  # noqa: PLW1509  it takes no lock
        )
        wait_until(lambda: answers(port), what="PgBouncer answers")
        return process

    processes = [start()]

    def restart():
        processes[-1].kill()
        processes[-1].wait()
        processes.append(start())

    try:
        yield f"postgresql://ringpost@127.0.0.1:{port}/ringpost", restart
    finally:
        processes[-1].kill()
        processes[-1].wait()


def answers(port):
    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="ringpost", dbname="ringpost", connect_timeout=3).close()
    except psycopg2.OperationalError:
        return False
    return True


class PooledStage(Stage):
    """The usual stage, whose processes find PgBouncer where PostgreSQL was."""

    def _start_processes(self):
        if "pool" not in vars(self):
            self.pool, self.restart_pool = self._held_pool(self.data_dir.parent / "pgbouncer")
            self.environment |= {"DATABASE_URL": self.pool}
        super()._start_processes()

    def _held_pool(self, folder):
        self._pgbouncer = pooled(self.engines.database_url, folder)
        return self._pgbouncer.__enter__()

    def _end_processes(self):
        super()._end_processes()
        self._pgbouncer.__exit__(None, None, None)


def test_a_burst_goes_through_a_pool_smaller_than_the_fleet_and_outlives_its_restart(tmp_path):
    with PooledStage(tmp_path) as stage:
        numbers = {f"pooled-{number}": stage.new_number() for number in range(MESSAGES)}

        def send(name):
            return wait_until(lambda: stage.request(name, numbers[name]).status_code == 200)

        names = list(numbers)
        with ThreadPoolExecutor(16) as senders:
            list(senders.map(send, names[: MESSAGES // 2]))
            stage.restart_pool()
            list(senders.map(send, names[MESSAGES // 2 :]))
        told = {name: stage.callback(name, timeout=60) for name in names}

        ((connections,),) = stage.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'e2e'"
        )
        stage.environment["DATABASE_URL"] = stage.engines.database_url
        audited = stage.ringpost("audit", "--grace", "5")
        calls = {name: len(stage.simulator.ledger.of(number)) for name, number in numbers.items()}

    assert {one["status"] for one in told.values()} == {"delivered"}
    assert set(calls.values()) == {1}
    assert 0 < connections <= POOL
    assert audited.returncode == 0, audited.stdout + audited.stderr
