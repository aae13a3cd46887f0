"""What the ingress refuses while an operator has stopped it, or while the day's calls are used up."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from shared.db.queries import daily_calls, stops
from shared.stops import Scope, Stop
from shared.times import rfc3339
from tests.integration.ingress_stage import call, is_problem, staged


@pytest.fixture
def stage(database_url, redis_url, tmp_path):
    with staged(database_url, redis_url, tmp_path, allowed_countries="*") as stage:
        yield stage


def throw(stage, scope, name, for_s=None):
    stage.services.database.run(
        lambda connection: stops.stop(connection, Stop(scope, name), reason="fraud", by="tests", for_s=for_s)
    )


def go(stage, scope, name):
    stage.services.database.run(lambda connection: stops.go(connection, scope, name))


def learned(stage, holds):
    """Wait until the process has read what is stopped; it must not take two seconds."""
    began = time.monotonic()
    switches = stage.site.intake.switches
    while not holds(switches._known.value):
        assert time.monotonic() - began < 30
        time.sleep(0.01)


def test_a_paused_lane_goes_on_taking_messages_in(stage):
    throw(stage, Scope.LANE, "otp")
    throw(stage, Scope.COUNTRY, "TD")
    learned(stage, lambda known: known.stops)

    accepted = stage.make_call(call())
    go(stage, Scope.LANE, "otp")
    go(stage, Scope.COUNTRY, "TD")
    learned(stage, lambda known: not known.stops)

    assert accepted.get_json()["data"]["status"] == "queued"


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.LANE])
def test_a_stopped_message_is_refused_and_an_earlier_one_keeps_its_answer(stage, scope):
    names = {
        Scope.GLOBAL: "",
        Scope.PROVIDER: stage.customer.provider_id,
        Scope.SOURCE: "+6531580001",
        Scope.COUNTRY: "SG",
        Scope.PREFIX: "+658123",
    }
    earlier = call()
    accepted = stage.make_call(earlier).get_json()["data"]
    throw(stage, scope, names[scope])
    learned(stage, lambda known: known.stops)

    refused, repeated = stage.make_call(call()), stage.make_call(earlier)
    batch = stage.make_calls(call(), call(customerPhone="12")).get_json()
    scheduled = rfc3339(datetime.now(UTC) + timedelta(hours=1))
    later = stage.make_call(call(scheduledAt=scheduled))
    go(stage, scope, names[scope])
    learned(stage, lambda known: not known.stops)

    assert is_problem(refused, 503, "dialing_stopped")
    assert refused.headers["Retry-After"] == "60"
    assert repeated.get_json()["data"]["id"] == accepted["id"]
    assert [one["error"]["code"] for one in batch["data"]] == ["dialing_stopped", "invalid_request"]
    assert is_problem(later, 503, "dialing_stopped")
    assert stage.make_call(call()).status_code == 200


def test_others_are_taken_in_and_what_begins_after_a_stops_end_is(stage):
    throw(stage, Scope.PREFIX, "+658123", for_s=600)
    learned(stage, lambda known: known.stops)

    other = stage.make_call(call(customerPhone="+6591234567"))
    refused = stage.make_call(call())
    later = stage.make_call(call(scheduledAt=rfc3339(datetime.now(UTC) + timedelta(hours=1))))
    go(stage, Scope.PREFIX, "+658123")

    assert (other.status_code, later.status_code) == (200, 200)
    assert 0 < int(refused.headers["Retry-After"]) <= 600


def test_a_stop_that_is_over_by_then_hides_no_other(stage):
    throw(stage, Scope.PROVIDER, stage.customer.provider_id, for_s=600)
    throw(stage, Scope.COUNTRY, "SG")
    learned(stage, lambda known: len(known.stops) == 2)

    later = stage.make_call(call(scheduledAt=rfc3339(datetime.now(UTC) + timedelta(hours=1))))
    go(stage, Scope.PROVIDER, stage.customer.provider_id)
    go(stage, Scope.COUNTRY, "SG")

    assert is_problem(later, 503, "dialing_stopped")


def test_what_is_held_has_no_estimate(stage):
    body = call()
    stage.make_call(body)
    stage.rows("UPDATE messages SET reason = 'dialing_stopped', due_at = deadline RETURNING 1")

    repeated = stage.make_call(body).get_json()["data"]

    assert (repeated["estimatedDialAt"], repeated["willMeetDeadline"]) == (None, None)


def test_with_the_days_calls_used_up_a_message_is_refused_until_midnight(stage):
    database = stage.services.database
    earlier = call()
    accepted = stage.make_call(earlier).get_json()["data"]
    database.run(lambda connection: daily_calls.set_cap(connection, stage.customer.provider_id, 0))
    learned(stage, lambda known: known.exhausted.providers)

    refused, repeated = stage.make_call(call()), stage.make_call(earlier)
    tomorrow = rfc3339(datetime.now(UTC) + timedelta(hours=25))
    later = stage.make_call(call(scheduledAt=tomorrow))

    assert is_problem(refused, 429, "daily_cap_reached")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert repeated.get_json()["data"]["id"] == accepted["id"]
    assert later.status_code == 200
