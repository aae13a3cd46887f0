"""Drill: the disk is full, PostgreSQL's and the spool's at once, as on a machine that has but one."""

import os
import subprocess
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import psycopg2
import pytest
import structlog

from deploy.engines.keeper import Keeper
from ingress.spool import Spool
from shared.voice_api.events import glance
from tests.integration.ingress_stage import call, is_problem, staged
from tests.integration.own_engines import migrated_engines
from tests.integration.test_vitals import samples

TOKEN = "a token for monitoring"
SIZE = "112m"  # a new cluster, its log, and a bit
MIB = 1024 * 1024
TRIES = 100  # requests until no page has room for another row
PATIENCE = 30  # s
ACTION = b'{"eventType": "CALL_ACTION", "payload": {"sessionId": "%s", "eventId": "1", "clientActionId": "ask"}}'
SUMMARY = (
    b'{"eventType": "SESSION_SUMMARY", "payload": {"sessionId": "%%s", "sessionStatus": "COMPLETED"}, "pad": "%s"}'
    % (b"x" * 40_000)
)
HANG_UP = {"clientActionId": "ask", "callflow": [{"action": "hangup"}]}


class Disk:
    """A file system of its own, which can be filled up."""

    def __init__(self, folder):
        self._filler = folder / "filler"

    @contextmanager
    def full(self, _stage):
        with self._filler.open("wb", buffering=0) as filler:
            for size in (MIB, 4096, 1):
                self._fill(filler, bytes(size))
        try:
            yield
        finally:
            self._filler.unlink()

    def _fill(self, filler, block):
        try:
            while filler.write(block):
                pass
        except OSError:
            return

    def crash(self, postgres):
        """Have PostgreSQL begin a new file of its log, for which there is no room: it gives up."""
        connection = psycopg2.connect(postgres.url())
        connection.autocommit = True
        with connection.cursor() as cursor, suppress(psycopg2.OperationalError):
            for _ in range(TRIES):
                cursor.execute("SELECT pg_logical_emit_message(true, 'drill', ''), pg_switch_wal()")
        assert connection.closed


class PretendDisk:
    """For whoever may not mount: PostgreSQL raises what it raises then, and the spool writes to /dev/full."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    @contextmanager
    def full(self, stage):
        usage = SimpleNamespace(total=100, used=100, free=0)
        with stage.services.database.transaction() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$"
            )
            for table in ("messages", "webhook_inbox"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()"
                )
        with self._monkeypatch.context() as patch:
            patch.setattr(Spool, "_open", lambda spool: setattr(spool, "_file", os.open("/dev/full", os.O_WRONLY)))
            patch.setattr("shared.vitals.tempfile.TemporaryFile", lambda **_: open("/dev/full", "wb", buffering=0))  # noqa: PTH123, SIM115
            patch.setattr("shared.vitals.shutil.disk_usage", lambda _: usage)
            yield
        stage.services.database.run(
            lambda connection: connection.exec_driver_sql("DROP FUNCTION full_disk CASCADE"), patience_s=PATIENCE
        )

    def crash(self, postgres):
        postgres.kill()


OWN_ENGINES = True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """On a small file system where this user may mount one."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", folder], capture_output=True, check=False
    )
    yield folder
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def own_engines(folder):
    with migrated_engines(folder) as engines:
        yield engines


@pytest.fixture
def stage(own_engines, folder, monkeypatch):
    monkeypatch.setattr("ingress.metrics._KEEP_S", 0)
    with staged(own_engines.database_url, own_engines.redis_url, folder, metrics_token=TOKEN) as stage:
        yield stage


@pytest.fixture(params=["mounted", "pretended"])
def disk(request, folder, monkeypatch):
    is_real = request.param == "mounted" and os.path.ismount(folder)
    return Disk(folder) if is_real else PretendDisk(monkeypatch)


@pytest.fixture
def bad_news(ringpost, folder):
    """What ``ringpost status`` says of the disk."""

    def ask():
        told = ringpost("status", RINGPOST_DATA_DIR=str(folder)).stdout.splitlines()
        return [line for line in told if line.startswith("! ") and "spool" in line]

    return ask


def alarms(stage):
    reply = stage.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.status_code == 200
    found = samples(reply.text)
    return found["ringpost_database_up",], {name for name in ("disk_full", "spool_unwritable")
                                            if found["ringpost_alarm", name]}  # fmt: skip


def until_refused(send):
    """The answers of requests until one is refused, as no page has room for its row."""
    answers = []
    for _ in range(TRIES):
        answers.append(send())
        if answers[-1][1].status_code != 200:
            break
    return answers


def wait_until(holds):
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_on_a_full_disk_all_is_refused_and_nothing_accepted_is_lost(stage, disk, own_engines, bad_news):
    def submit():
        body = call()
        return body, stage.make_call(body)

    def report():
        raw = SUMMARY % os.urandom(8).hex().encode()
        return raw, stage.webhook("vss", raw)

    calls = [submit()]
    with Keeper(own_engines, lambda _: None):
        with structlog.testing.capture_logs() as logged, disk.full(stage):
            calls += until_refused(submit)
            reports = until_refused(report)
            action = stage.webhook("vca", ACTION % os.urandom(8).hex().encode())
            while_full, told = alarms(stage), bad_news()
            disk.crash(own_engines.postgres)
        (refused_body, refused), (refused_raw, unkept) = calls[-1], reports[-1]
        wait_until(lambda: stage.make_call(refused_body).status_code == 200)
        wait_until(lambda: stage.webhook("vss", refused_raw).status_code == 200)

    assert is_problem(refused, 503, "unavailable")
    assert is_problem(unkept, 503, "unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert int(unkept.headers["Retry-After"]) >= 1
    assert (action.status_code, action.get_json()) == (200, HANG_UP)
    assert {"database_away", "event_not_kept"} <= {one["event"] for one in logged}
    assert while_full == (1, {"disk_full", "spool_unwritable"})
    assert told == [
        "! the disk of the webhook spool is 100% full",
        "! no webhook can be written to the spool: its disk takes nothing",
    ]
    assert (alarms(stage), bad_news()) == ((1, set()), [])
    for body, reply in calls:
        assert reply.status_code == 200 or body is refused_body
        assert len(stage.rows("SELECT FROM messages WHERE message_id = :id", id=body["messageId"])) == 1
    keys = [glance(raw).dedupe_key for raw, _ in reports]
    kept = "SELECT dedupe_key FROM webhook_inbox WHERE dedupe_key = ANY (:keys)"
    wait_until(lambda: sorted(row.dedupe_key for row in stage.rows(kept, keys=keys)) == sorted(keys))
