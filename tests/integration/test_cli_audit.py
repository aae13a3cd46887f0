"""What ``ringpost status`` and ``ringpost audit`` call bad news."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from shared import jobs
from shared.alarms import ALARMS
from shared.broker import CONSUMER_NAME, connect
from shared.db.conservation import CHECKS, SHOWN
from shared.db.queries import moves, sweep
from shared.lifecycle import Event, Move
from tests.integration.cli_answers import as_json, execute


@pytest.fixture(autouse=True)
def _sweeper(database, provider_id):
    """It was there just now."""
    with database.transaction() as connection:
        sweep.beat(connection, "sweeper test 1", time.time())


@pytest.fixture(autouse=True)
def _workers(settings):
    """Somebody listens to every queue."""
    with ExitStack() as stack:
        for job in jobs.ALL:
            name = CONSUMER_NAME.format(job.queue)
            stack.enter_context(connect(settings.redis_url, timeout_s=1, name=name)).ping()
        yield


# status


def test_status_is_well_when_nothing_is_late(ringpost, accepted):
    accepted("OTP1", "OTP2")

    state = as_json(ringpost("status", "--json"))

    assert [(lane["lane"], lane["waiting"]) for lane in state["lanes"]] == [
        ("otp", 2),
        ("alert", 0),
        ("notification", 0),
        ("test", 0),
    ]
    assert state["messages"][0]["status"] == "queued"
    assert state["calls"]["inFlight"] == 0
    assert (state["calls"]["lines"], state["calls"]["cap"], state["calls"]["dialsPerSecond"]) == (500, 500, 50)
    assert state["redis"]["reachable"]
    assert state["badNews"] == []
    assert ringpost("status").stdout.endswith("all well\n")


def test_status_tells_what_8x8_was_found_to_bear(ringpost, database):
    execute(
        database,
        "INSERT INTO subaccounts (subaccount_id, tokens, dialed, lines, lines_refused, lines_cut_at, pace_refused,"
        " pace_cut_at, held_until)"
        " VALUES ('test_voice', 1, 7, 38.5, 40, now(), 20, now(), now() + interval '1 minute')",
    )

    calls = as_json(ringpost("status", "--json"))["calls"]
    told = ringpost("status").stdout

    assert (calls["dialed"], calls["lines"], calls["linesRefused"]) == (7, 38.5, 40)
    assert 16 <= calls["dialsPerSecond"] < 17
    assert "calls in flight     0 of at most 38; 8x8 refused 40 at" in told
    assert "dials a second      at most 16" in told
    assert "8x8 asked to wait" in told


LATE = "interval '31 seconds'"
BAD_NEWS = {
    "the sweeper is silent": f"UPDATE heartbeats SET beat_at = now() - {LATE}",
    "the sweeper never was heard of": "DELETE FROM heartbeats",
    "8x8 refuses source +6531580001": "INSERT INTO breakers (scope, name, reason, failures, probe_at)"
    " VALUES ('source', '+6531580001', 'source_not_allowed', 1, now())",
    "a message in status queued is overdue": f"UPDATE messages SET due_at = now() - {LATE} WHERE finished_at IS NULL",
    "a callback in state due is overdue": f"UPDATE callbacks SET due_at = now() - {LATE}",
    "a webhook of 8x8 is overdue": "INSERT INTO webhook_inbox (dedupe_key, body, due_at)"
    f" VALUES ('x', '', now() - {LATE})",
}


@pytest.mark.parametrize("sentence", BAD_NEWS)
def test_bad_news_is_a_sentence_and_exit_code_1(ringpost, accepted, canceled, database, sentence):
    accepted("OTP1")
    canceled("OTP2")
    execute(database, BAD_NEWS[sentence])

    state = as_json(ringpost("status", "--json"), code=1)

    [line] = state["badNews"]
    [place] = state["runbook"]
    assert line.startswith(sentence)
    assert place in {alarm.runbook for alarm in ALARMS}
    assert f"  -> {place}\n" in ringpost("status").stdout


def test_status_tells_that_redis_does_not_answer(ringpost):
    state = as_json(ringpost("status", "--json", REDIS_URL="redis://127.0.0.1:1/0"), code=1)

    assert state["redis"]["reachable"] is False
    assert state["badNews"][0].startswith("Redis does not answer")
    assert "deploy/runbook.md#redis_away" in state["runbook"]


# the conservation audit


def test_every_message_open_or_final_is_accounted_for(ringpost, accepted, canceled):
    accepted("OTP1")
    canceled("OTP2", "OTP3")

    audited = as_json(ringpost("audit", "--json"))

    assert audited["ok"] is True
    assert audited["messages"] == {"queued": 1, "canceled": 2}
    assert audited["callbacks"] == {"due": 2}
    assert ringpost("audit").stdout.endswith("all are accounted for\n")


ATTEMPT = (
    "INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key,"
    " valid_until) SELECT 'att_' || n || id, id, n, 'c', 's', '+1', '', now() FROM messages, generate_series(1, 2) n"
)
OLD = "now() - interval '301 seconds'"
GRAVE = (
    "INSERT INTO past_messages SELECT provider_id, message_id, id, fingerprint, lane, status, reason, deadline"
    " FROM messages WHERE finished_at IS NOT NULL"
)
#: What breaks each promise, with the CHECKs that would not let it happen out of the way.
BREAKAGES = {
    "message_overdue": [f"UPDATE messages SET due_at = {OLD}, deadline = {OLD} WHERE finished_at IS NULL"],
    "text_outlived": [
        "UPDATE messages SET status = 'placed', due_at = now() + interval '1 hour' WHERE finished_at IS NULL",
        "UPDATE messages SET deadline = now() - interval '66 minutes' WHERE status = 'placed'",
    ],
    "purged_by_halves": [GRAVE],
    "message_neither_open_nor_final": [
        "ALTER TABLE messages DROP CONSTRAINT messages_erased_check",
        "UPDATE messages SET content = 'a text' WHERE finished_at IS NOT NULL",
    ],
    "final_event_missing_or_doubled": [
        "DELETE FROM feed_events",
        "UPDATE providers SET last_sequence = 0",
    ],
    "feed_gap": ["UPDATE feed_events SET sequence = 5", "UPDATE providers SET last_sequence = 6"],
    "attempts_overlap": [ATTEMPT],
    "callback_overdue": [f"UPDATE callbacks SET due_at = {OLD}"],
    "webhook_overdue": [f"INSERT INTO webhook_inbox (dedupe_key, body, due_at) VALUES ('x', '', {OLD})"],
}


def test_every_check_of_the_audit_is_broken_here():
    assert set(BREAKAGES) == set(CHECKS)


@pytest.mark.parametrize("kind", [*(kind for kind in BREAKAGES if kind != "message_neither_open_nor_final")])
def test_the_audit_finds(ringpost, accepted, canceled, database, kind):
    accepted("OTP1")
    canceled("OTP2")
    execute(database, *BREAKAGES[kind])

    audited = as_json(ringpost("audit", "--json"), code=1)

    assert [finding["kind"] for finding in audited["findings"]] == [kind]
    assert audited["findings"][0]["ids"]


def test_the_audit_finds_a_final_message_that_kept_its_text(ringpost, canceled, database):
    [id_] = canceled("OTP1")
    execute(database, *BREAKAGES["message_neither_open_nor_final"])
    try:
        result = ringpost("audit")
    finally:
        execute(
            database,
            "UPDATE messages SET content = NULL WHERE finished_at IS NOT NULL",
            "ALTER TABLE messages ADD CONSTRAINT messages_erased_check"
            " CHECK ((content IS NULL) = (finished_at IS NOT NULL))",
        )

    assert result.exit_code == 1
    assert id_ in result.stdout


def test_the_grace_is_the_operator_s_to_choose(ringpost, accepted, database):
    accepted("OTP1")
    execute(database, "UPDATE messages SET deadline = now() - interval '20 seconds'")

    patient, strict = ringpost("audit"), ringpost("audit", "--grace", "10")

    assert (patient.exit_code, strict.exit_code) == (0, 1)


def test_a_redial_that_was_asked_for_is_no_overlap(ringpost, accepted, database):
    accepted("OTP1", redial_unknown=True)
    execute(database, ATTEMPT)

    assert as_json(ringpost("audit", "--json"))["ok"]


def test_a_corrected_message_has_its_two_events(ringpost, accepted, database):
    [id_] = accepted("OTP1")
    for event in (Event.CLAIMED, Event.CALL_PLACED, Event.SUMMARY_MISSING, Event.SESSION_COMPLETED):
        with database.transaction() as connection:
            moves.apply(connection, [Move(id_, event, due_in_s=60)])

    audited = as_json(ringpost("audit", "--json"))

    assert (audited["ok"], audited["messages"]) == (True, {"delivered": 1})


def test_offenders_are_counted_all_and_named_in_part(ringpost, accepted, database):
    accepted(*(f"OTP{number}" for number in range(SHOWN + 5)))
    execute(database, f"UPDATE messages SET deadline = {OLD}")

    [finding] = as_json(ringpost("audit", "--json"), code=1)["findings"]

    assert (finding["count"], len(finding["ids"])) == (SHOWN + 5, SHOWN)


def test_a_message_that_waits_its_turn_before_its_deadline_is_accounted_for(ringpost, database, accepted):
    accepted("OTP1")
    execute(database, f"UPDATE messages SET due_at = {OLD}, deadline = now() + interval '1 hour'")

    assert as_json(ringpost("audit", "--json"))["findings"] == []
