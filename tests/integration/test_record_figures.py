"""What charts show is written every few seconds by one sweeper, and so is what the audit found."""

import pytest

from shared.db.queries import figures
from tests.integration.worker_stage import staged
from workers import record_figures
from workers.record_figures import Recorder


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


@pytest.fixture
def recorder(stage):
    made = Recorder(stage.services)
    yield made
    made.close()


def rows(stage):
    return stage.execute("SELECT at, figures FROM figures ORDER BY at")


def test_a_row_tells_of_lanes_calls_and_how_soon(stage, recorder):
    stage.keep()

    recorder()

    ((_, told),) = rows(stage)
    assert told["waiting_messages"]["otp"] == 1
    assert told["in_flight"] == 0
    assert set(told["deadline_slack_s"]) == {"otp"}
    assert told["lately"]["messages"] == 1


def test_of_several_sweepers_one_writes_it(stage, recorder):
    other = Recorder(stage.services)

    recorder()
    other()
    other.close()

    assert len(rows(stage)) == 1


def test_what_is_older_than_a_week_is_forgotten(stage, recorder):
    stage.execute("INSERT INTO figures (at, figures) VALUES (now() - interval '8 days', '{}')")

    recorder()

    assert len(rows(stage)) == 1


def test_the_audit_is_made_now_and_then_by_one_of_them_and_says_what_is_wrong(stage, recorder, monkeypatch):
    monkeypatch.setattr(recorder, "_audit_due_at", 0.0)
    stage.execute("INSERT INTO webhook_inbox (dedupe_key, body, due_at) VALUES ('k', '', now() - interval '1 hour')")

    recorder()
    found = latest(stage)
    stage.execute("UPDATE figures SET at = at - interval '10 s'")
    other = Recorder(stage.services)
    monkeypatch.setattr(other, "_audit_due_at", 0.0)
    other()
    other.close()

    assert found["found"] == {"webhook_overdue": 1}
    assert ["audit" in told for _, told in rows(stage)] == [True, False]


def latest(stage):
    with stage.services.database.statement() as connection:
        return figures.latest_audit(connection)


def test_charts_are_thinned_out_and_begin_where_they_are_asked_to(stage):
    stage.execute(
        "INSERT INTO figures (at, figures) SELECT now() - n * interval '10 s', jsonb_build_object('dials', n)"
        " FROM generate_series(1, 2000) n"
    )
    with stage.services.database.statement() as connection:
        hour = figures.past(connection, 1)
        more = figures.past(connection, 6)

    assert 295 <= len(hour) <= 301
    assert 270 <= len(more) <= 301
    assert hour == sorted(hour, key=lambda row: row["at"])
    assert hour[0]["figures"]["dials"] <= 360 < more[0]["figures"]["dials"]


def test_every_figure_that_is_charted_is_one_that_is_read(recorder):
    assert set(record_figures.CHARTED) <= set(recorder._vitals())
