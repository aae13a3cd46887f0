"""How soon phones rang lately."""

import pytest

from shared.db import speed
from shared.lifecycle import Lane
from tests.integration.worker_stage import staged


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def lately(stage):
    with stage.services.database.statement() as connection:
        return {row["lane"]: row for row in speed.lately(connection)}


def called(stage, *, asked_s_ago, dialed_s_ago, answered_s_ago=None, status="delivered", **members):
    """A message that came to its end, so long ago."""
    id_ = stage.keep(**members)
    stage.place(id_)
    at = "now() - :s * interval '1 second'"
    stage.execute(f"UPDATE messages SET created_at = {at} WHERE id = :id", s=asked_s_ago, id=id_)
    stage.execute(f"UPDATE dial_attempts SET started_at = {at} WHERE message_id = :id", s=dialed_s_ago, id=id_)
    if answered_s_ago is not None:
        stage.execute(f"UPDATE dial_attempts SET answered_at = {at} WHERE message_id = :id", s=answered_s_ago, id=id_)
    stage.execute(
        "UPDATE messages SET status = :status, finished_at = now(), due_at = NULL, content = NULL WHERE id = :id",
        status=status, id=id_,
    )  # fmt: skip
    return id_


def test_nothing_is_known_of_nothing(stage):
    assert lately(stage)["all"] | {"lane": "all"} == {
        "lane": "all", "messages": 0, "hit_rate": None,
        **dict.fromkeys(("dial_p50_s", "dial_p95_s", "answer_p50_s", "answer_p95_s")),
    }  # fmt: skip


def test_times_are_from_the_request_to_the_first_dial_and_the_answer_by_lane(stage):
    for waited in (1, 2, 9):
        called(stage, asked_s_ago=60, dialed_s_ago=60 - waited, answered_s_ago=50 - waited)
    called(stage, asked_s_ago=60, dialed_s_ago=30, lane=Lane.ALERT, status="no_answer")

    found = lately(stage)

    assert found["otp"]["dial_p50_s"] == pytest.approx(2, abs=0.2)
    assert found["otp"]["dial_p95_s"] == pytest.approx(9, abs=0.2)
    assert found["otp"]["answer_p50_s"] == pytest.approx(12, abs=0.2)
    assert (found["alert"]["answer_p50_s"], found["all"]["messages"]) == (None, 4)


def test_the_hit_rate_is_of_those_that_came_to_their_end(stage):
    called(stage, asked_s_ago=60, dialed_s_ago=59, answered_s_ago=55)
    late = called(stage, asked_s_ago=60, dialed_s_ago=59, answered_s_ago=10)
    stage.execute("UPDATE messages SET deadline = now() - interval '20 s' WHERE id = :id", id=late)
    called(stage, asked_s_ago=60, dialed_s_ago=59, status="canceled")
    stage.keep()

    assert lately(stage)["otp"]["hit_rate"] == 0.5


def test_older_ones_and_those_of_test_keys_do_not_count(stage):
    called(stage, asked_s_ago=700, dialed_s_ago=690)
    called(stage, asked_s_ago=60, dialed_s_ago=59, lane=Lane.TEST, test_type="otp")

    assert lately(stage)["all"]["messages"] == 0
