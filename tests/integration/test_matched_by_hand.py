"""A person says whose a webhook is that nobody can tell; what it says must still fit that call."""

import pytest

from shared.db.queries import operations
from tests.integration.worker_stage import staged, vss

NUMBER = "+6581234567"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def doubtful(stage, destination=NUMBER):
    id_ = stage.keep(destination)
    stage.place(id_)
    stage.execute("UPDATE messages SET busy_destination = NULL")
    stage.execute("UPDATE messages SET status = 'dial_unknown', session_id = NULL WHERE id = :id", id=id_)
    stage.execute("UPDATE dial_attempts SET disposition = 'unknown', session_id = NULL WHERE message_id = :id", id=id_)
    return id_


def match(stage, message_id, inbox_id=None):
    inbox_id = inbox_id or stage.execute("SELECT max(inbox_id) AS id FROM webhook_inbox")[0].id
    return stage.services.database.run(lambda c: operations.match_event(c, inbox_id, message_id))


def test_the_summary_settles_the_message_that_was_named_and_no_other(stage):
    mine, other = doubtful(stage), doubtful(stage)
    stage.keep_webhook(vss(session_id="whose", destination=NUMBER))
    stage.reconcile()
    assert stage.inbox_results() == ["ambiguous"]

    attempt = match(stage, mine)
    stage.reconcile()

    assert attempt == stage.attempts(mine)[0].attempt_id
    assert stage.state(mine) == ("delivered", None)
    assert stage.message(other).status == "dial_unknown"
    assert stage.inbox_results() == ["applied"]


def test_a_summary_of_another_number_is_not_believed_whoever_says_so(stage):
    mine = doubtful(stage)
    stage.keep_webhook(vss(session_id="whose", destination="+6580000001"))
    stage.reconcile()

    match(stage, mine)
    stage.reconcile()

    assert stage.message(mine).status == "dial_unknown"
    assert stage.inbox_results() == ["contradicts"]


def test_what_has_a_session_or_is_no_such_message_or_webhook_is_left_as_it_is(stage):
    placed = stage.keep("+6581230009")
    stage.place(placed)
    stage.keep_webhook(vss(session_id="whose", destination="+6580000002"))
    stage.reconcile()

    assert match(stage, placed) is None
    assert match(stage, "msg_none") is None
    assert match(stage, doubtful(stage), inbox_id=10**9) is None


def test_two_webhooks_of_one_session_cannot_be_given_to_two_calls(stage):
    first, second = doubtful(stage), doubtful(stage)
    stage.keep_webhook(vss(session_id="whose", destination=NUMBER))
    stage.reconcile()
    inbox_id = stage.execute("SELECT max(inbox_id) AS id FROM webhook_inbox")[0].id

    assert match(stage, first, inbox_id) is not None
    assert match(stage, second, inbox_id) is None
