"""Step 4: what 8x8 reports settles the right message once, in one transaction with its events and callbacks."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from shared.db.queries import inbox, moves, sweep
from shared.lifecycle import Event, Move, Status
from shared.voice_api.codes import ERROR_RULES
from shared.voice_api.events import Malformed, SessionSummary
from tests.integration.worker_stage import PROVIDER, SOURCE, staged, vca, vss
from workers.reconcile_events import ReconcileEvents

NUMBER = "+6581234567"
ENDINGS = {
    "COMPLETED": ("delivered", None),
    "COMPLETED_UNSUBSCRIBED": ("delivered", None),
    "COMPLETED_UNSUB_ERROR": ("delivered", None),
    "NO_ANSWER": ("no_answer", "no_answer"),
    "BUSY": ("busy", "busy"),
    "CANCELED": ("canceled", "call_canceled"),
    "FAILED": ("failed", "not_reached"),
    "UNSUBSCRIBED_CONTACT": ("blocked", "opted_out"),
    "DIVERTED": ("failed", "status_unknown"),
}


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def placed(stage, destination=NUMBER, **members):
    id_ = stage.keep(destination, **members)
    stage.place(id_)
    return id_


def test_every_session_status_ends_its_message(stage):
    ids = {status: placed(stage, None) for status in ENDINGS}
    for status, id_ in ids.items():
        stage.keep_webhook(stage.summary(id_, status))

    stage.reconcile()

    assert {status: stage.state(id_) for status, id_ in ids.items()} == ENDINGS
    assert set(stage.inbox_results()) == {"applied"}


def test_every_error_code_ends_a_message_without_spare_attempts(stage):
    ids = {code: placed(stage, None, source=f"+65315800{place:02}") for place, code in enumerate(sorted(ERROR_RULES))}
    for code, id_ in ids.items():
        stage.keep_webhook(stage.summary(id_, "ERROR", error_code=code))

    stage.reconcile()

    ended = {code: stage.state(id_) for code, id_ in ids.items() if code != -2008}
    assert ended == {
        code: ("expired" if code == -2007 else "failed", rule.reason)
        for code, rule in ERROR_RULES.items()
        if code != -2008
    }


@pytest.mark.parametrize("echo", [True, False])
def test_a_summary_before_our_own_reply_is_stored_settles_the_message(settings, echo):
    with staged(settings, simulator={"echoes_client_ids": echo}) as stage:
        id_ = stage.keep(NUMBER)
        stage.simulator.set_fault("vss_before_reply")
        stage.simulator.set_fault("slow_reply", seconds=0.5)
        dialer = stage.dialer()
        dialer(stage_lane())
        stage.keep_received()

        stage.reconcile()
        settled = stage.state(id_)
        dialer.drain()

        assert settled == stage.state(id_) == ("delivered", None)
        assert stage.attempts(id_)[0].session_id == stage.simulator.ledger.accepted[0].session_id
        assert len(stage.events(id_)) == 1


def stage_lane():
    from shared.lifecycle import Lane

    return Lane.OTP


def test_the_same_summary_twice_is_kept_once(stage):
    id_ = placed(stage)
    stage.endpoint()
    stage.keep_webhook(stage.summary(id_), stage.summary(id_))

    stage.reconcile()
    stage.report(id_)

    assert stage.inbox_results() == ["applied"]
    assert (len(stage.events(id_)), len(stage.callbacks(id_))) == (1, 1)


@pytest.mark.parametrize("apart", [True, False])
def test_a_second_and_different_summary_changes_nothing(stage, apart):
    id_ = placed(stage)
    stage.keep_webhook(stage.summary(id_))
    if apart:
        stage.reconcile()
    stage.keep_webhook(stage.summary(id_, "FAILED"))

    stage.reconcile()

    assert stage.state(id_) == ("delivered", None)
    assert stage.inbox_results() == ["applied", "duplicate"]
    assert len(stage.events(id_)) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_press_and_the_summary_in_one_batch_count_in_either_order(stage, order):
    id_ = placed(stage)
    pressed = vca(session_id=f"session-{id_}", destination=NUMBER, event_data={"dtmf": "5"})
    stage.keep_webhook(*[pressed, stage.summary(id_)][::order])

    stage.reconcile()

    assert stage.state(id_) == ("delivered", None)
    assert stage.events(id_)[-1].facts["keyPressed"] == "5"
    assert stage.attempts(id_)[0].key_pressed == "5"


def test_an_action_request_makes_the_message_answered(stage):
    id_ = placed(stage)
    stage.endpoint(event_types=["message.answered"])
    stage.keep_webhook(vca(session_id=f"session-{id_}", destination=NUMBER, event_data={"dtmf": "1"}))

    stage.reconcile()

    assert stage.state(id_) == ("answered", None)
    assert [row.type for row in stage.events(id_)] == ["message.answered"]
    assert len(stage.callbacks(id_)) == 1


def test_an_unknown_session_is_tried_again_ever_later_and_given_up_after_an_hour(stage):
    stage.keep_webhook(vss(session_id="unheard", destination=NUMBER))

    stage.reconcile()
    (first,) = stage.execute("SELECT processed_at, attempts, due_at - now() AS wait FROM webhook_inbox")
    stage.execute("UPDATE webhook_inbox SET received_at = now() - interval '100 s', due_at = now()")
    stage.reconcile()
    (second,) = stage.execute("SELECT processed_at, due_at - now() AS wait FROM webhook_inbox")
    stage.execute("UPDATE webhook_inbox SET received_at = now() - interval '3601 s', due_at = now()")
    stage.reconcile()
    (third,) = stage.execute("SELECT processed_at, result FROM webhook_inbox")

    assert (first.processed_at, first.attempts) == (None, 0)
    assert first.wait.total_seconds() < 1.1
    assert 20 < second.wait.total_seconds() < 26
    assert (third.processed_at is not None, third.result) == (True, "unmatched")


def test_the_reply_that_names_an_early_session_has_its_summary_looked_at_at_once(stage):
    stage.simulator.set_fault("slow_reply", seconds=0.3)
    id_ = stage.keep(NUMBER)
    dialer = stage.dialer()
    dialer(stage_lane())
    stage.simulator.wait_for(lambda ledger: ledger.accepted)
    session_id = stage.simulator.ledger.accepted[0].session_id
    # It knows neither our id nor a number, so only the session can tell whose it is.
    stage.keep_webhook(vss(session_id=session_id, destination="", source=""))
    stage.reconcile()
    before = stage.inbox_results()

    dialer.drain()
    stage.reconcile()

    assert before == ["unmatched"]
    assert stage.inbox_results() == ["applied"]
    assert stage.state(id_) == ("delivered", None)


def test_a_call_back_to_our_number_concerns_nobody(stage):
    stage.simulator.call_in(NUMBER, SOURCE)
    stage.keep_received(2)

    stage.reconcile()

    assert stage.inbox_results() == ["inbound", "inbound"]
    assert stage.execute("SELECT * FROM feed_events") == []


@pytest.mark.parametrize(
    "wrong", [{"subaccount_id": "other"}, {"destination": "+6580000000"}, {"source": "+6531589999"}]
)
def test_a_summary_that_contradicts_the_attempt_is_not_believed(stage, wrong):
    id_ = placed(stage)

    stage.report(id_, **wrong)

    assert stage.state(id_) == ("placed", None)
    assert stage.inbox_results() == ["contradicts"]


def test_a_summary_of_a_known_session_is_bound_to_no_other_attempt(stage):
    known = placed(stage, "+6581230001")
    stage.execute("UPDATE messages SET busy_destination = NULL")
    doubtful = placed(stage, NUMBER)
    in_doubt(stage, doubtful)

    stage.keep_webhook(vss(session_id=f"session-{known}", destination=NUMBER))
    stage.reconcile()

    assert stage.message(doubtful).status == "dial_unknown"
    assert stage.inbox_results() == ["contradicts"]


def in_doubt(stage, id_):
    stage.execute("UPDATE messages SET status = 'dial_unknown', session_id = NULL WHERE id = :id", id=id_)
    stage.execute("UPDATE dial_attempts SET disposition = 'unknown', session_id = NULL WHERE message_id = :id", id=id_)


def test_two_doubtful_calls_to_one_phone_are_not_guessed(stage):
    ids = [placed(stage)]
    stage.execute("UPDATE messages SET busy_destination = NULL")
    ids.append(placed(stage))
    for id_ in ids:
        in_doubt(stage, id_)
    stage.keep_webhook(vss(session_id="whose", destination=NUMBER))

    stage.reconcile()

    assert [stage.message(id_).status for id_ in ids] == ["dial_unknown"] * 2
    assert stage.inbox_results() == ["ambiguous"]


@pytest.mark.parametrize("echo", [True, False])
def test_a_doubtful_call_is_recognised_by_its_id_or_its_destination(stage, echo):
    id_ = placed(stage)
    in_doubt(stage, id_)

    stage.report(id_, echo=echo, session_id="found")

    assert stage.state(id_) == ("delivered", None)
    assert stage.attempts(id_)[0].session_id == stage.message(id_).session_id == "found"


def test_a_summary_with_a_strangers_request_id_is_not_bound_by_destination(stage):
    id_ = placed(stage)
    in_doubt(stage, id_)

    stage.report(id_, session_id="found", client_request_id="somebody-elses")

    assert stage.message(id_).status == "dial_unknown"


def test_times_quality_and_legs_are_stored(stage):
    id_ = placed(stage)

    stage.report(id_)

    (leg,) = stage.execute("SELECT * FROM call_legs")
    attempt = stage.attempts(id_)[0]
    assert (leg.leg, leg.mos, leg.duration_seconds, leg.source_country) == ("callA", 4.4, 26, "SG")
    assert (attempt.session_status, attempt.duration_seconds, attempt.last_action) == ("COMPLETED", 26, "HANGUP")
    assert attempt.settled_at is not None
    facts = stage.events(id_)[0].facts
    assert (facts["answeredAt"], facts["durationSeconds"]) == ("2026-10-05T09:12:21.000Z", 26)
    assert (facts["quality"], facts["attempts"], facts["sessionId"]) == ({"mos": 4.4}, 1, f"session-{id_}")


@pytest.mark.parametrize(
    ("status", "members", "heard"),
    [
        ("COMPLETED", {"duration": 26}, "full"),
        ("COMPLETED", {"duration": 1}, "partial"),
        ("NO_ANSWER", {}, "none"),
        ("COMPLETED", {"connected_s": None}, "unknown"),
    ],
)
def test_what_was_heard_is_told_by_the_connected_time(stage, status, members, heard):
    id_ = placed(stage)

    stage.report(id_, status, **members)

    assert stage.events(id_)[0].facts["heard"] == heard


@pytest.mark.parametrize(("connected_s", "state"), [(17, ("delivered", None)), (2, ("failed", "not_heard"))])
def test_an_error_after_the_answer_counts_as_heard_if_one_play_fits_and_is_never_dialled_again(
    stage, connected_s, state
):
    id_ = placed(stage, max_attempts=4, spare_attempts=3)

    stage.report(id_, "ERROR", error_code=-2002, connected_s=connected_s)

    assert stage.state(id_) == state


def test_a_late_summary_corrects_undetermined_under_the_next_sequence(stage):
    id_ = placed(stage)
    endpoint = stage.endpoint()
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()

    stage.report(id_)

    assert stage.state(id_) == ("delivered", None)
    assert [(row.type, row.sequence) for row in stage.events(id_)] == [
        ("message.undetermined", 1),
        ("message.corrected", 2),
    ]
    assert [row.endpoint_id for row in stage.callbacks(id_)] == [endpoint] * 2


def test_sequences_have_no_gaps_under_four_reconcilers(stage):
    messages = [stage.new_message(plays=1) for _ in range(120)]
    ids = stage.keep_all(messages)
    for id_ in ids:
        stage.place(id_)
    summaries = [stage.summary(id_) for id_ in ids]

    with ThreadPoolExecutor(4) as pool:
        kept = [pool.submit(stage.keep_webhook, *summaries[start::8]) for start in range(8)]
        reconcilers = [ReconcileEvents(stage.services) for _ in range(4)]
        while not all(one.done() for one in kept):
            list(pool.map(lambda step: step(), reconcilers))
    stage.reconcile()

    sequences = [row.sequence for row in stage.execute("SELECT sequence FROM feed_events ORDER BY sequence")]
    assert sequences == list(range(1, 121))
    assert stage.execute("SELECT last_sequence FROM providers WHERE provider_id = :id", id=PROVIDER) == [(120,)]


class Stumbling(ReconcileEvents):
    """Fails on one session's events, as a bug would."""

    def _finding(self, one, candidates):
        if isinstance(one.event, SessionSummary) and one.event.session_id == "poison":
            raise RuntimeError("a bug")
        return super()._finding(one, candidates)


def test_an_event_that_fails_is_parked_after_five_tries_and_stops_no_other(stage):
    ids = [placed(stage, None) for _ in range(3)]
    stage.keep_webhook(stage.summary(ids[0]), vss(session_id="poison", destination=NUMBER), stage.summary(ids[1]))

    for _ in range(5):
        Stumbling(stage.services)()
        stage.execute("UPDATE webhook_inbox SET due_at = now() WHERE processed_at IS NULL")
    stage.keep_webhook(stage.summary(ids[2]))
    Stumbling(stage.services)()
    stage.sweep()

    assert [stage.message(id_).status for id_ in ids] == ["delivered"] * 3
    assert stage.inbox_results() == ["applied", "parked", "applied", "applied"]
    assert [row.attempts for row in stage.execute("SELECT attempts FROM webhook_inbox WHERE result = 'parked'")] == [5]


class Mortal(ReconcileEvents):
    """Its process dies of one body."""

    def _parsed(self, row):
        event = super()._parsed(row)
        if isinstance(event, SessionSummary) and event.session_id == "poison":
            raise SystemExit
        return event


def test_an_event_that_kills_its_worker_takes_no_other_along(stage):
    ids = [placed(stage, None) for _ in range(4)]
    summaries = [stage.summary(id_) for id_ in ids]
    stage.keep_webhook(*summaries[:2], vss(session_id="poison", destination=NUMBER), *summaries[2:])

    for _ in range(8):
        with contextlib.suppress(SystemExit):
            Mortal(stage.services)()
        stage.execute("UPDATE webhook_inbox SET due_at = now() WHERE processed_at IS NULL")
    stage.sweep()

    assert [stage.message(id_).status for id_ in ids] == ["delivered"] * 4
    assert sorted(stage.inbox_results()) == ["applied"] * 4 + ["parked"]


def test_a_status_and_its_callbacks_are_written_together_or_not_at_all(stage):
    id_ = placed(stage)
    stage.endpoint()
    stage.execute("ALTER TABLE callbacks ADD CONSTRAINT no_callbacks CHECK (false) NOT VALID")
    stage.keep_webhook(stage.summary(id_))
    try:
        stage.reconcile()
        after_failure = (stage.message(id_).status, len(stage.events(id_)), stage.attempts(id_)[0].settled_at)
    finally:
        stage.execute("ALTER TABLE callbacks DROP CONSTRAINT no_callbacks")
    stage.execute("UPDATE webhook_inbox SET due_at = now()")
    stage.reconcile()

    assert after_failure == ("placed", 0, None)
    assert stage.message(id_).status == "delivered"
    assert len(stage.callbacks(id_)) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"eventType": "SESSION_SUMMARY"}', b"\xff" * 50])
def test_a_body_that_is_no_event_is_set_aside(stage, body):
    stage.keep_webhook(body)

    stage.reconcile()

    assert stage.inbox_results() == ["malformed"]


def test_an_event_sealed_with_another_key_is_set_aside(stage):
    stage.keep_webhook(vss(session_id="s", destination=NUMBER))
    stage.execute("UPDATE webhook_inbox SET dedupe_key = 'another row'")

    stage.reconcile()

    assert stage.inbox_results() == ["malformed"]
    assert ReconcileEvents(stage.services)._parsed(row_of(stage)) == Malformed("sealed with another key")


def row_of(stage):
    from shared.db.queries.inbox import InboxRow

    (row,) = stage.execute("SELECT inbox_id, dedupe_key, body, attempts FROM webhook_inbox")
    return replace(InboxRow(0, "", b"", 0, 0.0), dedupe_key=row.dedupe_key, body=bytes(row.body))


def test_the_claim_brings_the_attempt_of_the_session_that_a_webhook_names(stage, monkeypatch):
    ids = [placed(stage, None) for _ in range(3)]
    stage.keep_webhook(*(stage.summary(id_) for id_ in ids), b"[]")
    monkeypatch.setattr(inbox, "match", lambda *_, **__: pytest.fail("looked for what the claim had brought"))

    stage.reconcile()

    assert [stage.state(id_) for id_ in ids] == [("delivered", None)] * 3
    assert stage.inbox_results() == ["applied"] * 3 + ["malformed"]


@pytest.mark.parametrize("named", [None, "another"])
def test_a_webhook_without_its_session_beside_it_is_matched_by_what_its_body_says(stage, named):
    id_, other = placed(stage), placed(stage, None)
    stage.keep_webhook(stage.summary(id_))
    stage.execute("UPDATE webhook_inbox SET named_session_id = :named", named=named and f"session-{other}")

    stage.reconcile()

    assert (stage.state(id_), stage.state(other)) == (("delivered", None), ("placed", None))


def test_a_session_that_becomes_known_after_the_claim_is_found_all_the_same(stage):
    id_ = stage.keep(NUMBER)
    stage.keep_webhook(vss(session_id=f"session-{id_}", destination=NUMBER))

    class Late(ReconcileEvents):
        def _candidates(self, kept):
            assert [one.named for one in kept] == [None]
            stage.place(id_)
            return super()._candidates(kept)

    Late(stage.services)()

    assert stage.state(id_) == ("delivered", None)


@pytest.mark.parametrize("statement", [inbox._MATCH, inbox._CLAIM])
@pytest.mark.parametrize("rows", [0, 1, 3, 40])
@pytest.mark.parametrize("analysed", [True, False])
def test_events_find_their_attempts_by_index_however_small_the_tables_were(stage, statement, rows, analysed):
    for _ in range(rows):
        placed(stage, None)
    if analysed:
        stage.execute("ANALYZE dial_attempts, messages, webhook_inbox")

    scans = [node for node in stage.plan(statement) if node["Node Type"].endswith("Scan") and "Index Name" in node]

    assert len(scans) >= 5
    assert all("Index Cond" in node for node in scans)


def test_a_claim_waits_for_no_disk_and_what_follows_does(stage):
    with stage.database.statement() as connection:
        inbox.claim(connection, wanted=1, lease_s=10)

        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == stage.synchronous_commit()


class Overtaken(ReconcileEvents):
    """Others are quicker, once: *meanwhile* happens between the look and the write."""

    meanwhile = None
    looks = 0

    def _write(self, found):
        self.looks += 1
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return super()._write(found)


def overtaken(stage, meanwhile):
    step = Overtaken(stage.services)
    step.meanwhile = meanwhile
    step()
    return step


def test_what_was_decided_on_a_message_that_changed_meanwhile_is_decided_again(stage):
    id_, other = placed(stage), placed(stage, None)
    stage.endpoint()
    stage.execute("UPDATE messages SET due_at = now() WHERE id = :id", id=id_)
    stage.keep_webhook(stage.summary(id_, "BUSY"), stage.summary(other))

    step = overtaken(stage, stage.sweep)

    assert step.looks == 2
    assert (stage.state(id_), stage.state(other)) == (("busy", "busy"), ("delivered", None))
    assert [event.type for event in stage.events(id_)] == ["message.undetermined", "message.corrected"]
    assert len(stage.execute("SELECT * FROM call_legs")) == 2
    assert stage.inbox_results() == ["applied", "applied"]


def test_a_key_that_another_worker_stores_meanwhile_is_told_with_the_end(stage):
    id_ = placed(stage)
    stage.execute("UPDATE messages SET status = 'answered' WHERE id = :id", id=id_)
    stage.keep_webhook(stage.summary(id_))

    def press():
        stage.execute("UPDATE dial_attempts SET key_pressed = '7' WHERE message_id = :id", id=id_)

    step = overtaken(stage, press)

    assert step.looks == 2
    assert stage.events(id_)[-1].facts["keyPressed"] == "7"


def test_a_summary_that_two_workers_hold_is_applied_once(stage):
    id_ = placed(stage)
    stage.endpoint()
    stage.keep_webhook(stage.summary(id_))

    def another():
        stage.execute("UPDATE webhook_inbox SET due_at = now(), attempts = 0")
        stage.reconcile()

    step = overtaken(stage, another)

    assert step.looks == 2
    assert stage.state(id_) == ("delivered", None)
    assert (len(stage.events(id_)), len(stage.callbacks(id_))) == (1, 1)


def test_a_write_that_waited_for_a_lock_looks_at_what_it_waited_for(stage):
    id_ = placed(stage)
    stage.execute("UPDATE messages SET due_at = now()")
    stage.keep_webhook(stage.summary(id_, "BUSY"))
    reconciling = threading.Thread(target=stage.reconcile)

    with stage.database.transaction() as connection:
        rows = sweep.overdue(connection, Status.PLACED, sweep.START, 10)
        reconciling.start()
        stage.wait_for_a_lock()
        moves.apply(connection, [Move(row.id, Event.SUMMARY_MISSING, row.attempt_id, reason="x") for row in rows])
    reconciling.join(10)

    assert [event.type for event in stage.events(id_)] == ["message.undetermined", "message.corrected"]
    assert stage.message(id_).status == "busy"


def test_a_batch_whose_messages_change_without_end_is_left_to_its_lease(stage):
    id_ = placed(stage)
    stage.keep_webhook(stage.summary(id_))

    class Unlucky(ReconcileEvents):
        def _write(self, found):
            stage.execute("UPDATE dial_attempts SET key_pressed = '7' WHERE message_id = :id", id=id_)
            return super()._write(found)

    Unlucky(stage.services)()
    left = stage.execute("SELECT processed_at, attempts, due_at > now() AS leased FROM webhook_inbox")
    stage.execute("UPDATE webhook_inbox SET due_at = now()")
    stage.reconcile()

    assert left == [(None, 1, True)]
    assert stage.inbox_results() == ["applied"]
