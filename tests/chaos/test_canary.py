"""A leak in any place is found: the canary is worth what it notices."""

import base64
import json
from types import SimpleNamespace

import psycopg2
import pytest
import redis

from deploy.chaos import leaks
from deploy.chaos.needles import Needles
from deploy.engines import Engines
from ingress.exposition import exposition
from shared.db.database import Database
from shared.db.migrate import migrate

TEXT, NUMBER = "qzxkvwjrtbnmplhg", "+4915110001234"
SAID = f"said {TEXT} to {NUMBER}"

pytestmark = pytest.mark.xdist_group("deaths")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """As much of a stage as a search needs, on engines of its own: their files are read, too."""
    folder = tmp_path_factory.mktemp("canary")
    with Engines(folder / "data", fast=True) as engines:
        database = Database(engines.database_url, application="tests")
        migrate(database)
        database.close()
        yield SimpleNamespace(folder=folder, engines=engines, shown={"dead_letters": {"place_calls": 0}})


@pytest.fixture(scope="module")
def look(stage):
    """Searches; nobody is there to answer for the metrics and the commands."""

    def search(watch=None):
        return leaks.search(stage, Needles([TEXT], [NUMBER]), watch or SimpleNamespace(seen={}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaks, "metrics", lambda stage: exposition(stage.shown)[0])
        patch.setattr(leaks, "_told", lambda _stage, _words: [b"all well"])
        yield search


def execute(stage, statement, *values):
    connection = psycopg2.connect(stage.engines.database_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
    finally:
        connection.close()


def column(stage):
    execute(stage, "INSERT INTO voices (code, locale) VALUES ('x', %s)", SAID)


def bytes_column(stage):
    execute(stage, "INSERT INTO webhook_inbox (dedupe_key, body) VALUES ('x', %s)", SAID.encode())


def json_column(stage):
    facts = json.dumps({"deep": [base64.b64encode(SAID.encode()).decode()]})
    execute(stage, "INSERT INTO audit_log (actor, action, target, after) VALUES ('a', 'b', 'c', %s)", facts)


def redis_string(stage):
    redis.Redis.from_url(stage.engines.redis_url).set("job", SAID)


def redis_key(stage):
    redis.Redis.from_url(stage.engines.redis_url).hset(f"seen {SAID}", "a", "b")


def redis_job(stage):
    redis.Redis.from_url(stage.engines.redis_url).rpush("queue", base64.b64encode(SAID.encode()))


def log_line(stage):
    (stage.folder / "processes.log").write_text(f"web.1 | {SAID}\n")


def crash_file(stage):
    (stage.folder / "data" / "core.123").write_bytes(b"\0" * 9_000_000 + SAID.encode() + b"\0")


def spool_line(stage):
    (stage.folder / "data" / "spool").mkdir(exist_ok=True)
    (stage.folder / "data" / "spool" / "spool_1.jsonl").write_text(
        json.dumps(["k", base64.b64encode(SAID.encode()).decode()])
    )


def metric_label(stage):
    stage.shown["dead_letters"] = {SAID: 1}


def failing_statement(stage):
    with pytest.raises(psycopg2.Error):
        execute(stage, "SET log_min_error_statement = 'error'; SELECT 1/0 AS %s", SAID)


def moment(stage):
    """A statement that runs while somebody looks, and is gone then; the sample."""
    watch = leaks.Watch(stage)
    connection = psycopg2.connect(stage.engines.database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", (SAID,))
        watch.look()
    connection.close()
    return watch


#: Each leak, with the beginning of the place where it must be found.
LEAKS = {
    column: "PostgreSQL, voices",
    bytes_column: "PostgreSQL, webhook_inbox",
    json_column: "PostgreSQL, audit_log",
    redis_string: "Redis, string",
    redis_key: "Redis, hash",
    redis_job: "Redis, list",
    log_line: "processes.log",
    crash_file: "data/core.123",
    spool_line: "data/spool",
    metric_label: "GET /metrics",
    failing_statement: "data/postgres.log",
    moment: "pg_stat_activity, sampled",
}


@pytest.fixture(scope="module")
def found(stage, look):
    """What a search finds after every leak, where one before found nothing."""
    assert look() == []
    watch = next(filter(None, [plant(stage) for plant in LEAKS]))
    return look(watch)


@pytest.mark.parametrize("plant", LEAKS, ids=lambda plant: plant.__name__)
def test_a_leak_is_found_in_its_place(found, plant):
    assert {leak.what.removesuffix(" in disguise") for leak in found if leak.place.startswith(LEAKS[plant])} == {
        "a text",
        "a number",
    }


def test_the_files_of_both_engines_are_read(found):
    places = {leak.place for leak in found}

    assert any(place.startswith("data/postgres/pg_wal/") for place in places)
    assert any(place.startswith("data/postgres/base/") for place in places)
    assert any(place.startswith("data/valkey/") for place in places)
