"""An endpoint that fails for days is announced, then disabled, and what waits there is parked, never lost."""

import pytest
from structlog.testing import capture_logs

from ingress.exposition import exposition
from shared.alarms import ringing
from shared.db import vitals
from shared.db.queries import audit_log, endpoint_health
from tests.integration.callback_stage import stages
from workers.tidy import Tidy

LIMIT_S = 100.0


@pytest.fixture
def stage(settings, database):
    with stages(settings.model_copy(update={"endpoint_failing_seconds": LIMIT_S})) as stage:
        yield stage


def fails(stage, endpoint_id, *, since_s, last_s=0.0):
    """It has failed since so many seconds, and was last tried so many ago: what was noted moves back with it."""
    stage.change(
        "UPDATE endpoints SET failing_since = now() - :since * interval '1 second', last_failure = 'http_500',"
        " last_failure_at = now() - :last * interval '1 second',"
        " warned_at = warned_at + (now() - :since * interval '1 second' - failing_since) WHERE endpoint_id = :id",
        since=since_s,
        last=last_s,
        id=endpoint_id,
    )


def fails_for_good(stage, endpoint_id):
    """It was announced ten seconds ago, and has failed for longer than it may."""
    fails(stage, endpoint_id, since_s=91)
    tidied(stage)
    fails(stage, endpoint_id, since_s=101)


def tidied(stage):
    """What one round of the sweeper tells."""
    with capture_logs() as told:
        Tidy(stage.services)()
    return [(one["event"], one.get("percent")) for one in told if one["event"].startswith("endpoint_")]


def endpoint(stage, endpoint_id):
    return stage.rows("SELECT * FROM endpoints WHERE endpoint_id = :id", id=endpoint_id)[0]


def states(stage, endpoint_id):
    rows = stage.rows("SELECT state FROM callbacks WHERE endpoint_id = :id", id=endpoint_id)
    return sorted(row.state for row in rows)


def test_each_notice_is_given_once(stage):
    id_ = stage.endpoint()
    told = []

    for since_s in (40, 51, 55, 71, 72, 91, 95):
        fails(stage, id_, since_s=since_s)
        told.append(tidied(stage))

    assert told == [
        [],
        [("endpoint_failing", 50)],
        [],
        [("endpoint_failing", 70)],
        [],
        [("endpoint_failing", 90)],
        [],
    ]
    assert endpoint(stage, id_).warned_at is not None


def test_after_a_success_the_notices_begin_anew(stage):
    id_ = stage.endpoint()
    fails(stage, id_, since_s=95)
    assert tidied(stage) == [("endpoint_failing", 90)]
    stage.change("UPDATE endpoints SET failing_since = NULL, warned_at = warned_at - interval '60 seconds'")
    assert tidied(stage) == []

    stage.change("UPDATE endpoints SET failing_since = now() - interval '55 seconds', last_failure_at = now()")

    assert tidied(stage) == [("endpoint_failing", 50)]


def test_an_endpoint_that_failed_for_the_whole_time_is_disabled_and_what_waits_is_parked(stage):
    id_, other = stage.endpoint(), stage.endpoint()
    stage.callbacks(id_, 5, due_in_s=60)
    stage.claim()
    stage.callbacks(other, 2)
    fails_for_good(stage, id_)

    told = tidied(stage)

    row = endpoint(stage, id_)
    assert ("endpoint_disabled", None) in told
    assert (row.disabled_at is not None, row.disabled_reason) == (True, endpoint_health.REASON)
    assert states(stage, id_) == ["parked"] * 5
    assert states(stage, other) == ["due"] * 2
    with stage.database.statement() as connection:
        (noted,) = audit_log.listed(connection, audit_log.Wanted(target=id_), 10)
    assert (noted["actor"], noted["action"], noted["before"]) == ("sweeper", "endpoint.disable", {"disabled": False})
    assert tidied(stage) == []


def test_an_endpoint_that_is_not_tried_does_not_fail(stage):
    id_ = stage.endpoint()

    fails(stage, id_, since_s=500, last_s=451)
    assert tidied(stage) == []
    fails(stage, id_, since_s=500, last_s=405)
    assert tidied(stage) == [("endpoint_failing", 90)]
    assert endpoint(stage, id_).disabled_at is None


def test_none_is_disabled_without_a_notice_and_a_while_to_act_on_it(stage):
    id_ = stage.endpoint()
    fails(stage, id_, since_s=500)
    assert [tidied(stage), tidied(stage)] == [[("endpoint_failing", 90)], []]

    stage.change("UPDATE endpoints SET warned_at = now() - interval '6 seconds', last_failure_at = now()")

    assert tidied(stage) == [("endpoint_disabled", None)]


def test_what_is_written_for_an_endpoint_as_it_is_disabled_is_parked_too(stage):
    id_ = stage.endpoint()
    fails_for_good(stage, id_)
    tidied(stage)

    stage.callbacks(id_, 3)
    tidied(stage)

    assert states(stage, id_) == ["parked"] * 3


def test_a_long_backlog_is_parked_page_by_page(stage):
    id_ = stage.endpoint()
    stage.callbacks(id_, 7)
    fails_for_good(stage, id_)
    stage.database.run(lambda c: endpoint_health.disable(c, LIMIT_S))

    pages = [stage.database.run(lambda c: endpoint_health.park(c, 3), alone=True) for _ in range(4)]

    assert pages == [3, 3, 1, 0]


def test_what_an_operator_disabled_is_left_as_it_is(stage):
    id_ = stage.endpoint()
    stage.callbacks(id_)
    stage.change("UPDATE endpoints SET disabled_at = now(), disabled_reason = 'disabled by an operator'")
    fails_for_good(stage, id_)

    assert tidied(stage) == []
    assert states(stage, id_) == ["due"]  # as somebody asked for it since


def test_a_failing_post_makes_the_endpoint_fail_and_a_success_ends_it(stage):
    id_ = stage.endpoint(url="http://127.0.0.1:9/")
    stage.callbacks(id_)
    stage.deliver()
    failing = endpoint(stage, id_)
    stage.change("UPDATE endpoints SET url = :url WHERE endpoint_id = :id", url=stage.receiver.url, id=id_)

    stage.deliver_again()

    well = endpoint(stage, id_)
    assert (failing.failing_since is not None, failing.last_failure, failing.last_success_at) == (True, "refused", None)
    assert (well.failing_since, well.last_failure) == (None, "refused")
    assert well.last_success_at > well.last_failure_at


def test_endpoints_that_will_be_disabled_are_an_alarm(stage):
    id_ = stage.endpoint()
    fails(stage, id_, since_s=55)
    with stage.database.statement() as connection:
        before = vitals.read(connection)
    tidied(stage)

    with stage.database.statement() as connection:
        figures = vitals.read(connection)

    assert (before["failing_endpoints"], figures["failing_endpoints"]) == (0, 1)
    assert "endpoint_failing" in dict(ringing(figures))
    body = exposition(figures)[0].decode()
    assert "ringpost_failing_endpoints 1.0" in body
    assert 'ringpost_alarm{alarm="endpoint_failing"} 1.0' in body


def test_a_deleted_endpoint_is_forgotten_long_after_its_last_callback(stage):
    young, old = stage.endpoint(), stage.endpoint()
    for id_, days in ((young, 119), (old, 121)):
        stage.change(
            "UPDATE endpoints SET deleted_at = now() - :days * interval '1 day', disabled_at = now()"
            " WHERE endpoint_id = :id",
            days=days,
            id=id_,
        )

    tidied(stage)

    assert [row.endpoint_id for row in stage.rows("SELECT endpoint_id FROM endpoints")] == [young]
