"""The sweeper: whatever was missed moves or is rung for, however much there is and whoever else sweeps."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from shared import jobs
from shared.db.queries import moves
from shared.lifecycle import TYPES, Event, Lane, Move
from tests.integration.worker_stage import staged, vss

MANY = 1100  # more than two pages


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def statuses(stage):
    return dict(stage.execute("SELECT status, count(*) FROM messages GROUP BY status"))


def test_a_scheduled_message_joins_the_queue_when_its_time_comes_and_is_rung_for(stage):
    id_ = stage.keep(scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    stage.sweep()
    before = stage.message(id_).status
    stage.execute("UPDATE messages SET due_at = now()")

    stage.sweep()

    assert (before, stage.message(id_).status) == ("scheduled", "queued")
    assert stage.rung == {jobs.PLACE_CALLS[Lane.OTP]}


def test_a_message_that_nobody_dialled_in_time_expires_with_a_callback(stage):
    id_ = stage.keep()
    stage.endpoint()
    stage.execute("UPDATE messages SET deadline = now()")

    stage.sweep()

    assert stage.state(id_) == ("expired", "deadline_passed")
    assert len(stage.callbacks(id_)) == 1
    assert jobs.DELIVER_CALLBACKS in stage.rung


@pytest.mark.parametrize("status", ["placed", "answered", "dial_unknown"])
def test_a_call_without_its_summary_is_undetermined_once_the_verdict_is_due(stage, status):
    id_ = stage.keep()
    stage.place(id_)
    stage.execute("UPDATE messages SET status = :status", status=status)
    stage.sweep()
    before = stage.message(id_).status
    stage.execute("UPDATE messages SET due_at = now()")

    stage.sweep()

    assert before == status
    assert stage.state(id_) == (
        "undetermined",
        "never_confirmed" if status == "dial_unknown" else "no_summary",
    )


def test_every_page_of_overdue_messages_is_swept_and_by_two_sweepers_once(stage):
    ids = stage.keep_all([stage.new_message() for _ in range(MANY)])
    stage.execute("UPDATE messages SET status = 'dialing', due_at = now() WHERE id <= :id", id=ids[MANY // 2])
    stage.execute("UPDATE messages SET deadline = now() WHERE status = 'queued'")

    with ThreadPoolExecutor(2) as pool:
        for sweep in [pool.submit(stage.sweep) for _ in range(2)]:
            sweep.result()

    half = MANY // 2 + 1
    assert statuses(stage) == {"dial_unknown": half, "expired": MANY - half}
    assert stage.execute("SELECT count(*), count(DISTINCT sequence), max(sequence) FROM feed_events") == [
        (MANY, MANY, MANY)
    ]


def test_a_destination_is_free_again_once_its_call_cannot_be_up(stage):
    ids = [stage.keep(), stage.keep()]
    for id_ in ids:
        stage.place(id_)
    stage.execute("UPDATE messages SET busy_until = now() WHERE id = :id", id=ids[0])

    stage.sweep()

    assert [stage.message(id_).busy_destination is None for id_ in ids] == [True, False]


@pytest.mark.parametrize("lane", TYPES)
def test_a_lane_with_waiting_messages_is_rung_for(stage, lane):
    stage.keep(lane=lane)

    stage.sweep()

    assert stage.rung == {jobs.PLACE_CALLS[lane]}


def test_a_kept_webhook_is_rung_for(stage):
    stage.keep_webhook(vss(session_id="s", destination="+6581234567"))

    stage.sweep()

    assert stage.rung == {jobs.RECONCILE_EVENTS}


def test_with_nothing_to_do_nobody_is_rung_for_and_a_sign_of_life_is_left(stage):
    stage.sweep()

    assert stage.rung == set()
    assert [row.process for row in stage.execute("SELECT process FROM heartbeats")] == ["test"]


def test_old_webhooks_are_forgotten_but_parked_ones_are_not(stage):
    stage.execute(
        "INSERT INTO webhook_inbox (dedupe_key, body, processed_at, result) VALUES"
        " ('old', '', now() - interval '8 days', 'applied'), ('parked', '', now() - interval '8 days', 'parked'),"
        " ('new', '', now(), 'applied')"
    )

    stage.sweep()

    assert [row.dedupe_key for row in stage.execute("SELECT dedupe_key FROM webhook_inbox ORDER BY 1")] == [
        "new",
        "parked",
    ]


def test_a_step_that_fails_hinders_no_other_and_a_row_that_cannot_move_hides_nobody(stage):
    soon = datetime.now(UTC) + timedelta(hours=1)
    stuck, fine = stage.keep(scheduled_at=soon), stage.keep(scheduled_at=soon)
    late = stage.keep()
    stage.execute("UPDATE messages SET due_at = now() WHERE status = 'scheduled'")
    stage.execute("UPDATE messages SET deadline = now() WHERE id = :id", id=late)
    stage.execute(
        f"ALTER TABLE messages ADD CONSTRAINT stuck CHECK (id <> '{stuck}' OR status = 'scheduled') NOT VALID"
    )
    try:
        stage.sweep()
    finally:
        stage.execute("ALTER TABLE messages DROP CONSTRAINT stuck")

    assert [stage.message(id_).status for id_ in (stuck, fine, late)] == ["scheduled", "queued", "expired"]
    assert jobs.PLACE_CALLS[Lane.OTP] in stage.rung


def test_a_message_that_somebody_is_moving_is_left_alone(stage):
    id_ = stage.keep()
    stage.dial()
    stage.execute("UPDATE messages SET due_at = now()")

    with stage.database.transaction() as connection:
        connection.execute(text("UPDATE messages SET due_at = now() + interval '1 hour' WHERE id = :id"), {"id": id_})
        stage.sweep()

    assert stage.message(id_).status == "placed"


def test_a_redial_that_came_too_late_leaves_the_doubt_of_the_call_before(stage):
    id_ = stage.keep(redial_unknown=True, max_attempts=2)
    stage.simulator.set_fault("reply_lost", created=True, count=1)
    stage.dial()
    shown = Move(id_, Event.DOUBT_TO_REDIAL, stage.message(id_).attempt_id, due_in_s=0)
    stage.database.run(lambda connection: moves.apply(connection, [shown]))
    stage.execute("UPDATE messages SET deadline = now()")
    stage.sweep()
    doubtful = stage.state(id_)
    stage.keep_webhook(stage.summary(id_, echo=True, session_id="session-late"))
    stage.reconcile()

    assert doubtful == ("undetermined", "never_confirmed")
    assert stage.message(id_).status == "delivered"
    assert stage.events(id_)[-1].type == "message.corrected"
