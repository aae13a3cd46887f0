"""Drill: 8x8 reports while PostgreSQL is away."""

import pytest

from tests.e2e.stage import wait_until

pytestmark = pytest.mark.xdist_group("deaths")


def test_reports_are_answered_and_kept_while_postgresql_is_away(stage):
    number = stage.new_number("voicemail")
    stage.submit("away-report", number, headers={"Prefer": "wait=10"}, interruptible=True)
    wait_until(lambda: stage.story("away-report")["status"] == "placed", what="the call is placed")
    (call,) = stage.simulator.ledger.of(number)

    stage.engines.postgres.stop("immediate")
    answers_before = list(call.webhooks)
    stage.simulator.wait_for(lambda _: call.came_back("VSS")[-1:] == [200], timeout_s=20)
    spooled = list(stage.settings.spool_dir.glob("*.jsonl"))
    stage.engines.postgres.start()
    told = stage.callback("away-report")

    assert answers_before == []
    assert call.came_back("VCA") == [200]
    assert call.session_status == "COMPLETED"
    assert spooled != []
    assert told["status"] == "delivered"
    wait_until(lambda: not list(stage.settings.spool_dir.glob("*.jsonl")), what="the spool is empty")


def test_a_request_is_refused_quickly_and_may_be_repeated_while_postgresql_is_away(stage):
    number = stage.new_number()
    stage.engines.postgres.stop("immediate")

    refused = stage.request("away-request", number)
    stage.engines.postgres.start()
    stage.await_ready()
    accepted = stage.submit("away-request", number)

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert "Retry-After" in refused.headers
    assert refused.elapsed.total_seconds() < 2
    assert stage.callback("away-request")["id"] == accepted["id"]
    assert len(stage.simulator.ledger.of(number)) == 1
