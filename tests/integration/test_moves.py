"""The one guarded UPDATE: what the table of moves allows happens with its events and callbacks, nothing else does."""

import pytest

from shared.db.queries import moves
from shared.lifecycle import FINALS, IN_FLIGHT, REPORTED, TRANSITIONS, Event, Move, Status, event_type
from tests.integration.worker_stage import staged


@pytest.fixture(scope="module")
def stage(engines, database_url, redis_url, tmp_path_factory):
    from tests.integration.conftest import settings as fixture

    values = fixture.__wrapped__(database_url, redis_url, tmp_path_factory.mktemp("moves"))
    with staged(values) as stage:
        yield stage


def stands(stage, status):
    """A message in *status*, as the schema wants it."""
    id_ = stage.keep()
    stage.place(id_)
    stage.execute(
        "UPDATE messages SET status = :status, reason = NULL,"
        " finished_at = CASE WHEN :final THEN now() END, due_at = CASE WHEN NOT :final THEN now() END,"
        " content = CASE WHEN NOT :final THEN content END WHERE id = :id",
        status=status,
        final=status in FINALS,
        id=id_,
    )
    return id_


def apply(stage, *asked):
    return stage.database.run(lambda connection: moves.apply(connection, asked))


@pytest.mark.parametrize("event", list(Event))
def test_an_event_moves_a_message_from_the_statuses_of_the_table_only(stage, event):
    step = TRANSITIONS[event]
    ids = {status: stands(stage, status) for status in Status}
    before = {status: stage.message(id_) for status, id_ in ids.items()}

    moved = apply(stage, *(Move(id_, event, reason="busy", due_in_s=9) for id_ in ids.values()))

    assert {one.was for one in moved} == step.sources
    for status, id_ in ids.items():
        row = stage.message(id_)
        if status not in step.sources:
            assert row == before[status]
            assert stage.events(id_) == []
            continue
        is_final = step.target in FINALS
        assert (row.status, row.reason) == (step.target, "busy")
        assert (row.finished_at is not None, row.due_at is None, row.content is None) == (is_final,) * 3
        assert (row.busy_until is None, row.busy_destination is None) == (step.target not in IN_FLIGHT,) * 2
        told = "message.corrected" if status is Status.UNDETERMINED else event_type(step.target)
        assert [one.type for one in stage.events(id_)] == ([told] if step.target in REPORTED else [])


def test_another_attempts_news_changes_nothing(stage):
    id_ = stands(stage, Status.DIALING)

    assert apply(stage, Move(id_, Event.CALL_PLACED, "att_other")) == []
    assert stage.message(id_).status == "dialing"


def test_only_subscribed_endpoints_are_called_back_and_a_disabled_ones_callback_is_parked(stage):
    heard, deaf = stage.endpoint(), stage.endpoint(event_types=["message.placed"])
    disabled = stage.endpoint(disabled=True)
    id_ = stands(stage, Status.PLACED)

    (moved,) = apply(stage, Move(id_, Event.SESSION_COMPLETED))

    callbacks = {row.endpoint_id: row for row in stage.callbacks(id_)}
    assert callbacks.keys() == {heard, disabled}
    assert moved.callbacks == 2
    assert (callbacks[heard].state, callbacks[heard].finished_at) == ("due", None)
    assert (callbacks[disabled].state, callbacks[disabled].due_at) == ("parked", None)
    assert deaf not in callbacks


def test_a_message_with_its_own_callback_url_calls_back_only_there(stage):
    chosen = stage.endpoint()
    stage.endpoint()
    id_ = stands(stage, Status.PLACED)
    stage.execute("UPDATE messages SET endpoint_id = :endpoint WHERE id = :id", endpoint=chosen, id=id_)

    apply(stage, Move(id_, Event.SESSION_BUSY))

    assert [row.endpoint_id for row in stage.callbacks(id_)] == [chosen]


def test_another_providers_endpoints_hear_nothing(stage):
    stage.execute("INSERT INTO providers (provider_id, name) VALUES ('prov_other', 'other')")
    other = stage.endpoint(provider_id="prov_other")
    id_ = stands(stage, Status.PLACED)

    apply(stage, Move(id_, Event.SESSION_BUSY))

    assert other not in [row.endpoint_id for row in stage.callbacks(id_)]
