"""Step 2 against 8x8 as the simulator plays it: every answer, every silence, and no phone dialled twice."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from shared.db.queries.claim import claim
from shared.lifecycle import Lane
from shared.pacing import Pace
from shared.voice_api.codes import REPLY_RULES
from tests.integration.worker_stage import staged

CODES_REFUSED = (-1002, -1009, -1016, -1017)  # the whole table has its unit tests


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def attempt_of(stage, id_):
    (attempt,) = stage.attempts(id_)
    return attempt


def test_an_accepted_callflow_makes_the_message_placed(stage):
    id_ = stage.keep("+6581234567")

    stage.dial()

    (entry,) = stage.simulator.ledger.accepted
    attempt = attempt_of(stage, id_)
    message = stage.message(id_)
    assert (message.status, message.session_id) == ("placed", entry.session_id)
    assert (attempt.disposition, attempt.session_id) == ("created", entry.session_id)
    assert entry.client_request_id == attempt.attempt_id
    assert message.busy_until is not None


def test_the_callflow_says_what_was_stored_and_ends_by_the_deadline(stage):
    stage.keep("+6581234567", spoken="Code 7.", ttl_s=60)

    stage.dial()

    body = json.loads(stage.simulator.ledger.accepted[0].body)
    valid_until = datetime.fromisoformat(body["validUntil"])
    assert body["callflow"][1]["params"]["text"] == "Code 7."
    assert valid_until <= datetime.now(UTC) + timedelta(seconds=60)


def test_the_attempt_is_committed_before_the_callflow_leaves(stage):
    id_ = stage.keep("+6581234567")
    stage.simulator.set_fault("slow_reply", seconds=0.5)
    dialer = stage.dialer()

    dialer(Lane.OTP)
    stage.simulator.wait_for(lambda ledger: ledger.accepted)

    assert stage.message(id_).status == "dialing"
    assert attempt_of(stage, id_).attempt_id == stage.simulator.ledger.accepted[0].client_request_id


def test_without_client_request_ids_none_is_sent(settings):
    with staged(settings, send_client_request_id=False) as stage:
        stage.keep()

        stage.dial()

        assert stage.simulator.ledger.accepted[0].client_request_id is None


@pytest.mark.parametrize("code", CODES_REFUSED)
def test_a_refused_callflow_fails_its_message_and_no_other(stage, code):
    refused, fine = stage.keep("+6581234567"), stage.keep()
    stage.simulator.set_fault("refused", destination="+6581234567", code=code)

    stage.dial()

    assert stage.state(refused) == ("failed", REPLY_RULES[code].reason)
    assert stage.state(fine) == ("placed", None)
    assert attempt_of(stage, refused).status_code == code
    assert stage.execute("SELECT * FROM breakers") == []


def test_a_callflow_that_came_too_late_for_8x8_expires(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("refused", code=-1015)

    stage.dial()

    assert stage.state(id_) == ("expired", "expired_upstream")


@pytest.mark.parametrize(
    ("knob", "options", "reason"),
    [
        ("rate_limited", {}, "throttled"),
        ("rate_limited", {"retry_after_s": 7}, "throttled"),
        ("error_not_created", {}, "upstream_error"),
        ("ok_not_created", {}, "upstream_error"),
        ("refused", {"code": -2010}, "capacity"),
        ("refused", {"code": -9999}, "upstream_error"),
    ],
)
def test_what_surely_made_no_call_waits_in_the_queue(stage, knob, options, reason):
    id_ = stage.keep()
    stage.simulator.set_fault(knob, **options)

    stage.dial()

    message = stage.message(id_)
    assert (message.status, message.reason) == ("queued", reason)
    assert (message.busy_until, message.busy_destination) == (None, None)
    assert attempt_of(stage, id_).disposition == "retry"
    assert stage.simulator.ledger.accepted == []


def test_a_retry_after_of_8x8_is_waited_for(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("rate_limited", retry_after_s=100)

    stage.dial()

    (waits_s,) = stage.execute("SELECT EXTRACT(EPOCH FROM due_at - now()) FROM messages WHERE id = :id", id=id_)[0]
    assert 95 < waits_s < 101


def test_a_short_fault_of_8x8_is_sat_out_in_one_attempt(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("error_not_created", count=2)

    stage.dial()

    assert stage.state(id_) == ("placed", None)
    assert len(stage.simulator.ledger.accepted) == 1
    assert attempt_of(stage, id_).disposition == "created"


@pytest.mark.parametrize("created", [True, False])
@pytest.mark.parametrize(
    ("knob", "options", "reason"),
    [
        ("error_empty", {"code": 500}, "upstream_error"),
        ("error_empty", {"code": 503}, "upstream_error"),
        ("error_empty", {"code": 408}, "reply_unreadable"),
        ("bad_gateway_html", {}, "upstream_error"),
        ("reply_lost", {}, "no_reply"),
        ("reply_never", {}, "no_reply"),
        ("ok_without_session_id", {}, "reply_unreadable"),
        ("garbage_body", {}, "reply_unreadable"),
        ("cut_body", {}, "no_reply"),
    ],
)
def test_an_answer_that_leaves_doubt_is_never_followed_by_another_dial(settings, knob, options, reason, created):
    with staged(settings, dial_timeout_seconds=0.4) as stage:
        id_ = stage.keep()
        stage.simulator.set_fault(knob, **options, created=created)

        stage.dial()
        stage.simulator.clear_faults()
        stage.execute("UPDATE messages SET due_at = now() + interval '1 s'")
        stage.sweep()
        stage.dial()

        assert stage.state(id_) == ("dial_unknown", reason)
        assert attempt_of(stage, id_).disposition == "unknown"
        assert len(stage.simulator.ledger.accepted) == int(created)


def test_an_unreachable_8x8_puts_the_message_back(settings):
    with staged(settings) as stage:
        id_ = stage.keep()
        away = stage.dialer(eight_x_eight_base_url="http://127.0.0.1:9")

        away(Lane.OTP)
        away.drain()

        assert stage.state(id_) == ("queued", "unreachable")
        assert attempt_of(stage, id_).disposition == "not_sent"


def test_many_messages_under_many_faults_ring_no_phone_twice(settings):
    with staged(settings, dial_timeout_seconds=0.5) as stage:
        for knob in ("error_not_created", "reply_lost", "garbage_body", "bad_gateway_html", "rate_limited"):
            stage.simulator.set_fault(knob, probability=0.15)
        ids = stage.keep_all([stage.new_message() for _ in range(200)])
        dialers = [stage.dialer(dial_timeout_seconds=0.5), stage.dialer(dial_timeout_seconds=0.5)]

        for _ in range(3):
            threads = [threading.Thread(target=dialer, args=(Lane.OTP,)) for dialer in dialers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stage.execute("UPDATE messages SET due_at = now() WHERE status = 'queued'")
        for dialer in dialers:
            dialer.drain()

        summary = stage.simulator.ledger.summary()
        assert summary["destinationsDialledMoreThanOnce"] == {}
        assert summary["clientRequestIdsSeenMoreThanOnce"] == {}
        assert {stage.message(id_).status for id_ in ids} <= {"placed", "dial_unknown", "queued"}


def test_a_worker_that_died_while_dialling_leaves_a_doubt_and_never_a_second_call(stage):
    id_ = stage.keep()
    stage.dialer()
    stage.database.run(lambda connection: claim(connection, pace(), Lane.OTP, wanted=9, claim_id="claim_dead"))
    stage.execute("UPDATE messages SET due_at = now()")

    stage.sweep()
    stage.dial()

    assert stage.state(id_) == ("dial_unknown", "lease_lapsed")
    assert stage.simulator.ledger.accepted == []


def pace():
    return Pace("test_voice", 1e6, 100, lease_s=30, ring_s=60)


def test_a_late_answer_still_says_what_became_of_the_call(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("slow_reply", seconds=0.5)
    dialer = stage.dialer()
    dialer(Lane.OTP)
    stage.simulator.wait_for(lambda ledger: ledger.accepted)
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()
    in_doubt = stage.state(id_)

    dialer.drain()

    assert in_doubt == ("dial_unknown", "lease_lapsed")
    assert stage.state(id_) == ("placed", None)


def test_a_stale_workers_late_answer_changes_nothing(stage):
    id_ = stage.keep()
    stage.simulator.set_fault("refused", code=-1017)
    stage.simulator.set_fault("slow_reply", seconds=0.5)
    stale = stage.dialer()
    stale(Lane.OTP)
    while stage.message(id_).status != "dialing":
        pass
    stage.execute("UPDATE messages SET status = 'queued', due_at = now(), busy_destination = NULL, busy_until = NULL")
    stage.database.run(lambda connection: claim(connection, pace(), Lane.OTP, wanted=9, claim_id="claim_new"))

    stale.drain()

    assert stage.message(id_).status == "dialing"
    assert stage.message(id_).attempt == 2
    assert [attempt.disposition for attempt in stage.attempts(id_)] == ["refused", None]


def test_a_lease_that_ran_out_before_the_post_is_not_used(settings):
    with staged(settings, call_lease_seconds=2.5, dial_timeout_seconds=2) as stage:
        id_ = stage.keep()

        stage.dial()  # one POST and a second of margin do not fit into what is left of this lease

        assert stage.state(id_) == ("queued", "lease_lost")
        assert attempt_of(stage, id_).disposition == "not_sent"
        assert stage.simulator.ledger.accepted == []


@pytest.mark.parametrize("content", [b"\x01" + bytes(40), b"nonsense"])
def test_a_text_that_cannot_be_read_fails_before_anything_is_sent(stage, content):
    id_ = stage.keep(content=content)

    stage.dial()

    assert stage.state(id_) == ("failed", "callflow_invalid")
    assert stage.simulator.ledger.accepted == []


def test_a_whole_lane_is_dialled_in_one_run_and_the_other_lanes_are_not(stage):
    ids = stage.keep_all([stage.new_message() for _ in range(150)])
    alert = stage.keep(lane=Lane.ALERT)

    stage.dial()

    assert {stage.message(id_).status for id_ in ids} == {"placed"}
    assert stage.message(alert).status == "queued"
    assert len(stage.simulator.ledger.accepted) == 150
