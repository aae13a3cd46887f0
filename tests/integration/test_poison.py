"""Whatever kills whoever handles it is set aside after five tries, and hinders no other."""

import base64
import json

import pytest
from sqlalchemy import text

from shared.db.queries import poison
from tests.integration.callback_stage import stages
from tests.integration.ingress_stage import call, is_problem
from tests.integration.ingress_stage import staged as ingress
from tests.integration.test_spool import ACTION, HANG_UP, SUMMARY, key_of, wait_until


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        yield stage


def die(stage):
    """A worker takes what is due and is killed; the lease ends."""
    taken = {one.callback_id for one in stage.claim()}
    stage.change("UPDATE callbacks SET due_at = now() WHERE state = 'sending'")
    return taken


def test_a_callback_that_kills_its_worker_is_parked_after_five_tries_and_alone(stage):
    killer, *others = stage.callbacks(stage.endpoint(), 3)
    parked = []
    for _ in range(2):
        assert die(stage) == {killer, *others}
    parked += stage.database.run(poison.part_callbacks, alone=True)
    apart = [row.callback_id for row in stage.rows("SELECT callback_id FROM callbacks WHERE due_at <= now()")]
    stage.change("UPDATE callbacks SET due_at = now() + interval '1 hour' WHERE callback_id <> :id", id=killer)
    stage.change("UPDATE callbacks SET due_at = now() WHERE callback_id = :id", id=killer)
    for _ in range(3):
        assert die(stage) == {killer}
        parked += stage.database.run(poison.part_callbacks, alone=True)

    assert len(apart) == 1
    assert parked == [killer]
    assert {stage.row("callbacks", id_).state for id_ in others} == {"due"}
    assert stage.row("callbacks", killer).finished_at is not None


def test_a_callback_whose_receiver_answers_is_never_counted_as_a_killer(stage):
    (id_,) = stage.callbacks(stage.endpoint())
    die(stage)
    stage.deliver()

    assert stage.database.run(poison.part_callbacks, alone=True) == []
    assert stage.row("callbacks", id_).state == "done"


def test_a_spool_line_that_spoils_its_replay_is_parted_from_the_others_and_set_aside(settings, monkeypatch):
    monkeypatch.setattr("ingress.spool._REPLAY_S", 0.05)
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir) as stage:
        folder = stage.site.settings.spool_dir
        body = base64.b64encode(b"body").decode()
        lines = [json.dumps([key, body]) for key in ("good-1", "bad\x00key", "good-2", "good-3")]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spool_0.new").write_text("\n".join(lines) + "\n")
        (folder / "spool_0.new").rename(folder / "spool_0.jsonl")

        wait_until(lambda: list(folder.glob("*.parked")))
        wait_until(lambda: not list(folder.glob("*.jsonl")))
        kept = {row.dedupe_key for row in stage.rows("SELECT dedupe_key FROM webhook_inbox")}

    assert {"good-1", "good-2", "good-3"} <= kept
    assert ["bad" in path.read_text() for path in folder.glob("*.parked")] == [True]


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION full_disk();
CREATE TRIGGER full_disk BEFORE INSERT ON webhook_inbox FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


def test_with_postgres_out_of_disk_calls_are_refused_and_webhooks_spooled(settings):
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir) as stage:
        with stage.services.database.transaction() as connection:
            connection.execute(text(FULL))
        try:
            refused = stage.make_call(call())
            report, action = stage.webhook("vss", SUMMARY % b"full-1"), stage.webhook("vca", ACTION % b"full-2")
        finally:
            with stage.services.database.transaction() as connection:
                connection.execute(text("DROP FUNCTION full_disk CASCADE"))
        wait_until(lambda: not list(stage.site.settings.spool_dir.glob("*.jsonl")))
        kept = {row.dedupe_key for row in stage.rows("SELECT dedupe_key FROM webhook_inbox")}

    assert is_problem(refused, 503, "unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (report.status_code, action.get_json()) == (200, HANG_UP)
    assert {key_of(SUMMARY % b"full-1"), key_of(ACTION % b"full-2")} <= kept
