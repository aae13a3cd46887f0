"""Redials: as often as the type or the sender says, never for a phone that was answered, never past the deadline."""

import pytest

from shared.db.queries import moves
from shared.lifecycle import TYPES, Event, Lane, Move
from shared.retry_policy import REDIAL
from tests.integration.worker_stage import staged

NUMBER = "+6581234567"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def call_again_and_again(stage, id_, status, *, rounds=6, **members):
    """Dial and report until nothing is queued; how many callflows 8x8 took."""
    lane = Lane(stage.message(id_).lane)
    for _ in range(rounds):
        stage.execute("UPDATE messages SET due_at = now() WHERE status = 'queued'")
        stage.dial(lane)
        if stage.message(id_).status != "placed":
            break
        stage.report(id_, status, **members)
    return len(stage.simulator.ledger.accepted)


@pytest.mark.parametrize("status", ["BUSY", "NO_ANSWER"])
@pytest.mark.parametrize("lane", TYPES)
def test_an_unanswered_phone_is_called_as_often_as_its_type_says(stage, lane, status):
    calls = REDIAL[lane].max_attempts
    id_ = stage.keep(NUMBER, lane=lane, ttl_s=86400, max_attempts=calls, spare_attempts=3)

    assert call_again_and_again(stage, id_, status) == calls
    assert stage.message(id_).status == status.lower()


def test_a_redial_waits_for_as_long_as_the_policy_says_and_frees_the_phone(stage):
    id_ = stage.keep(NUMBER, max_attempts=2)
    stage.dial()

    stage.report(id_, "BUSY")

    (row,) = stage.execute("SELECT status, busy_until, due_at - now() AS wait FROM messages")
    assert (row.status, row.busy_until) == ("queued", None)
    assert 4 < row.wait.total_seconds() < 6.5


@pytest.mark.parametrize("status", ["BUSY", "NO_ANSWER"])
def test_one_attempt_asked_for_is_exactly_one_callflow(stage, status):
    id_ = stage.keep(NUMBER, max_attempts=1)

    assert call_again_and_again(stage, id_, status) == 1


@pytest.mark.parametrize("code", [-2001, -2002, -2010, -2005, -9999])
def test_one_attempt_asked_for_holds_for_8x8s_own_faults_too(stage, code):
    id_ = stage.keep(NUMBER, max_attempts=1)

    assert call_again_and_again(stage, id_, "ERROR", error_code=code) == 1
    assert stage.message(id_).status == "failed"


@pytest.mark.parametrize(
    ("code", "calls"), [(-2001, 5), (-2002, 5), (-2010, 5), (-2005, 2), (-9999, 2), (-2004, 1), (-2003, 1)]
)
def test_8x8s_own_faults_are_repeated_with_spare_attempts(stage, code, calls):
    id_ = stage.keep(NUMBER, max_attempts=2, spare_attempts=3)

    assert call_again_and_again(stage, id_, "ERROR", error_code=code) == calls
    assert stage.message(id_).status == "failed"


def test_no_redial_that_could_not_be_heard_before_the_deadline(stage):
    id_ = stage.keep(NUMBER, max_attempts=4, ttl_s=20)
    stage.dial()

    stage.report(id_, "BUSY")

    assert stage.state(id_) == ("busy", "busy")


def in_doubt(stage, **members):
    stage.simulator.set_fault("reply_lost", count=1)
    id_ = stage.keep(NUMBER, **members)
    stage.dial()
    assert stage.message(id_).status == "dial_unknown"
    return id_


def let_grace_pass(stage):
    stage.execute("UPDATE messages SET due_at = now() WHERE status = 'dial_unknown'")
    stage.sweep()
    stage.dial()


def test_a_doubtful_call_is_not_dialled_again_by_default(stage):
    id_ = in_doubt(stage, max_attempts=4)

    let_grace_pass(stage)

    assert stage.state(id_) == ("undetermined", "never_confirmed")
    assert len(stage.simulator.ledger.accepted) == 1


def show_absence(stage, id_):
    """As if 8x8's log had shown that the call was never made."""
    move = Move(id_, Event.DOUBT_TO_REDIAL, stage.message(id_).attempt_id, reason="never_confirmed", due_in_s=0)
    stage.database.run(lambda connection: moves.apply(connection, [move]))


def test_a_wish_for_a_redial_waits_for_proof_until_the_deadline_and_dials_nobody_without(stage):
    id_ = in_doubt(stage, max_attempts=2, redial_unknown=True)
    row = stage.message(id_)

    let_grace_pass(stage)

    assert row.due_at == row.deadline
    assert stage.state(id_) == ("undetermined", "never_confirmed")
    assert len(stage.simulator.ledger.accepted) == 1


@pytest.mark.parametrize("members", [{"max_attempts": 1}, {"max_attempts": 2, "ttl_s": 15}])
def test_a_doubtful_call_waits_for_its_summary_beyond_its_deadline(stage, members):
    id_ = in_doubt(stage, redial_unknown=True, **members)
    row = stage.message(id_)
    (attempt,) = stage.attempts(id_)

    let_grace_pass(stage)

    assert (row.due_at - attempt.valid_until).total_seconds() > 180
    assert stage.message(id_).status == "undetermined"
    assert len(stage.simulator.ledger.accepted) == 1


def test_a_doubtful_call_that_was_heard_after_all_is_not_dialled_again(stage):
    id_ = in_doubt(stage, max_attempts=2, redial_unknown=True)
    show_absence(stage, id_)
    waiting = stage.message(id_).status

    stage.report(id_, session_id="first", echo=True)
    stage.dial()

    assert waiting == "queued"
    assert stage.state(id_) == ("delivered", None)
    assert len(stage.simulator.ledger.accepted) == 1


def test_a_doubtful_call_heard_while_the_second_rings_settles_the_message(stage):
    id_ = in_doubt(stage, max_attempts=2, redial_unknown=True)
    show_absence(stage, id_)
    stage.dial()

    stage.report(id_, number=1, session_id="first", client_request_id=stage.attempts(id_)[0].attempt_id)
    stage.report(id_, "NO_ANSWER", number=2)

    assert stage.state(id_) == ("delivered", None)
    assert stage.message(id_).session_id == "first"
