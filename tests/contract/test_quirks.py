"""8x8's fifteen quirks that a naive implementation gets wrong, each against the whole of it that is concerned."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from ingress.call_request import CallRequest
from shared.lifecycle import Lane
from shared.services import build_log_exports
from shared.voice_api.callflow import hang_up_reply
from shared.voice_api.codes import Disposition, judge
from shared.voice_api.events import CallAction, parse
from tests.integration.conftest import (  # noqa: F401  fixtures
    database_url,
    engines,
    migrated_template,
    redis_url,
    settings,
)
from tests.integration.worker_stage import SOURCE, staged, vca, vss

NUMBER = "+6581234567"


@pytest.fixture
def stage(settings):  # noqa: F811
    with staged(settings) as stage:
        yield stage


def hear(stage, count=1):
    stage.keep_received(count)
    stage.reconcile()


@pytest.mark.parametrize(
    ("behaviour", "status"), [("over_capacity", "failed"), ("no_coverage", "failed"), ("validity_over", "expired")]
)
def test_quirk_01_a_created_session_is_not_a_delivered_message(stage, behaviour, status):
    stage.simulator.plan(NUMBER, [behaviour])
    id_ = stage.keep(NUMBER)

    stage.dial()
    created = stage.message(id_).status
    hear(stage)

    assert (created, stage.message(id_).status) == ("placed", status)


def test_quirk_02_a_summary_that_beats_our_own_reply_is_joined_to_its_call(stage):
    id_ = stage.keep(NUMBER)
    stage.simulator.set_fault("vss_before_reply")

    stage.dial()
    hear(stage)

    assert stage.state(id_) == ("delivered", None)


def test_quirk_03_the_same_summary_twice_is_one_change_and_one_callback(stage):
    id_ = stage.keep(NUMBER)
    stage.endpoint()
    stage.simulator.set_fault("vss_duplicated")

    stage.dial()
    hear(stage, 2)

    assert (stage.message(id_).status, len(stage.callbacks(id_))) == ("delivered", 1)


def test_quirk_04_a_lost_reply_is_settled_by_the_summary_and_never_dialled_again(stage):
    id_ = stage.keep(NUMBER)
    stage.simulator.set_fault("reply_lost")

    stage.dial()
    doubtful = stage.message(id_).status
    hear(stage)
    stage.dial()

    assert (doubtful, stage.message(id_).status) == ("dial_unknown", "delivered")
    assert len(stage.simulator.ledger.accepted) == 1


@pytest.mark.parametrize("body", [{"sessionStatus": "NOT_CREATED"}, {"sessionStatus": "CREATED", "statusCode": 1}])
def test_quirk_05_a_200_without_a_session_is_no_success(body):
    assert judge(200, json.dumps(body).encode()).disposition is not Disposition.CREATED


def test_quirk_06_a_message_completes_without_any_call_action(stage):
    id_ = stage.keep(NUMBER)

    stage.dial()
    hear(stage)

    assert stage.message(id_).status == "delivered"
    assert [one.path for one in stage.receiver.received] == ["/vss"]


@pytest.mark.parametrize("event_data", [{"dtmf": "1"}, {"dtmf": None}, "1", None, ...])
def test_quirk_07_a_call_action_of_any_shape_is_answered_with_a_hangup(event_data):
    body = vca(session_id="unknown", destination=NUMBER, event_data=event_data if event_data is not ... else None)
    if event_data is ...:
        del body["payload"]["eventData"]

    event = parse(json.dumps(body).encode())

    assert isinstance(event, CallAction)
    assert json.loads(hang_up_reply(event.client_action_id))["callflow"] == [{"action": "hangup"}]


def test_quirk_08_an_error_after_the_answer_is_never_dialled_again(stage):
    stage.simulator.plan(NUMBER, ["not_synthesised"])
    id_ = stage.keep(NUMBER, max_attempts=4, spare_attempts=3)

    stage.dial()
    hear(stage)
    stage.dial()

    assert stage.state(id_) == ("failed", "not_heard")
    assert len(stage.simulator.ledger.accepted) == 1


@pytest.mark.parametrize(
    ("spelling", "status"),
    [("NO ANSWER", "no_answer"), ("No-Answer", "no_answer"), ("CANCELLED", "canceled"), ("DIVERTED", "failed")],
)
def test_quirk_09_drifted_spellings_count_as_what_they_mean(stage, spelling, status):
    id_ = stage.keep(NUMBER)
    stage.place(id_)
    body = stage.summary(id_, spelling)
    leg = body["payload"]["details"].pop("callA") | {"SourceRefId": "null", "callDuration": "0"}
    body["payload"]["details"]["CallA"] = leg

    stage.keep_webhook(body)
    stage.reconcile()

    assert stage.message(id_).status == status


def test_quirk_10_a_completed_session_is_delivered_whatever_its_last_action_and_length(stage):
    id_ = stage.keep(NUMBER)
    stage.place(id_)
    body = stage.summary(id_, connected_s=1)
    body["payload"]["lastAction"] = "MAKE_CALL"

    stage.keep_webhook(body)
    stage.reconcile()

    assert stage.message(id_).status == "delivered"
    assert stage.events(id_)[0].facts["heard"] == "partial"


def test_quirk_11_numbers_match_with_and_without_the_plus(stage):
    id_ = stage.keep(NUMBER)
    stage.place(id_)

    stage.report(id_, destination=NUMBER[1:], source=SOURCE[1:])

    assert stage.message(id_).status == "delivered"


def test_quirk_12_a_call_back_to_the_caller_id_concerns_no_provider_and_is_not_tried_again(stage):
    stage.endpoint()
    stage.keep_webhook(vss(session_id="back", destination=SOURCE, source=NUMBER, direction="INBOUND"))
    stage.keep_webhook(vca(session_id="back", destination=SOURCE, source=NUMBER, direction="INBOUND"))

    stage.reconcile()

    assert stage.inbox_results() == ["inbound", "inbound"]
    assert stage.execute("SELECT count(*) FROM callbacks") == [(0,)]


def test_quirk_13_a_validity_that_is_over_ends_as_expired(stage):
    id_ = stage.keep(NUMBER, ttl_s=60)
    stage.simulator.set_fault("refused", code=-1015)

    stage.dial()

    valid_until = stage.attempts(id_)[0].valid_until
    assert valid_until <= datetime.now(UTC) + timedelta(seconds=60)
    assert stage.state(id_) == ("expired", "expired_upstream")


@pytest.mark.parametrize("code", [-1014, 401, 403, 404])
def test_quirk_14_an_account_wide_refusal_pauses_instead_of_failing_messages(stage, code):
    ids = stage.keep_all([stage.new_message() for _ in range(3)])
    stage.simulator.set_fault("refused", code=code)

    stage.dial(Lane.OTP)
    stage.dial(Lane.OTP)

    assert {stage.message(id_).status for id_ in ids} == {"queued"}
    assert stage.simulator.ledger.refused[str(code)] == 3


def test_quirk_14_a_caller_id_refused_by_summary_pauses_it_too(stage):
    stage.simulator.plan(NUMBER, ["caller_id_refused"])
    id_ = stage.keep(NUMBER)

    stage.dial()
    hear(stage)

    assert stage.message(id_).status == "queued"
    assert [row.scope for row in stage.execute("SELECT scope FROM breakers")] == ["source"]


def test_quirk_15_success_has_another_code_on_each_endpoint(stage):
    assert judge(200, b'{"sessionStatus":"CREATED","sessionId":"s","statusCode":1}').disposition is Disposition.CREATED
    stage.services.voice_api.register_webhook("VSS", "https://example.com", "Bearer x")  # statusCode 0
    now = datetime.now(UTC)
    assert build_log_exports(stage.services.settings).start(now - timedelta(hours=1), now)  # 202 without any


def test_quirk_15_more_repetitions_than_8x8_plays_never_reach_it():
    with pytest.raises(ValidationError):
        CallRequest.model_validate({"messageId": "1", "customerPhone": NUMBER, "message": "Hello", "repetition": 11})
