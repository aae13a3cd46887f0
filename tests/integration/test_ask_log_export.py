"""Calls whose outcome is not known are settled by 8x8's call log, or shown to have never been; never guessed."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from shared import jobs
from shared.lifecycle import Lane
from tests.integration.worker_stage import staged
from workers.ask_log_export import AskLogExport

AGO = timedelta(minutes=20)
NUMBER = "+6581234567"
_numbers = itertools.count(120000)


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        yield stage


def in_doubt(stage, *, behaviour="completed", created=True, number=None, ago=AGO, **members):
    """A message whose answer and whose summary were lost, dialled a while *ago*."""
    number = number or f"+6598{next(_numbers)}"
    stage.simulator.plan(number, [behaviour])
    stage.simulator.set_fault("vss_dropped")
    knob = "reply_lost" if created else "error_empty"
    stage.simulator.set_fault(knob, destination=number, created=created, count=1)
    id_ = stage.keep(number, **{"lane": Lane.ALERT, "ttl_s": 7200} | members)
    stage.dial(Lane(members.get("lane", Lane.ALERT)))
    assert stage.message(id_).status == "dial_unknown"
    age(stage, id_, number, ago)
    return id_


def placed(stage, *, number=NUMBER, behaviour="completed", ago=AGO):
    """A message that 8x8 took, and whose summary was lost."""
    stage.simulator.plan(number, [behaviour])
    stage.simulator.set_fault("vss_dropped")
    id_ = stage.keep(number, ttl_s=7200)
    stage.dial()
    assert stage.message(id_).status == "placed"
    age(stage, id_, number, ago)
    return id_


def age(stage, id_, number, ago):
    """As if the message had been dialled that long ago, here and at 8x8."""
    stage.simulator.wait_for(lambda ledger: all(entry.session_status for entry in ledger.of(number)))
    for call in stage.simulator._account.sessions.finished:
        if call.callflow.destination == number and call.accepted_at > datetime.now(UTC) - timedelta(minutes=1):
            call.accepted_at -= ago
    stage.execute(
        "UPDATE dial_attempts SET started_at = started_at - :ago, valid_until = valid_until - :ago"
        " WHERE message_id = :id",
        ago=ago,
        id=id_,
    )
    stage.execute(
        "UPDATE messages SET deadline = deadline - :ago, due_at = due_at - :ago, busy_until = NULL,"
        " busy_destination = NULL"
        " WHERE id = :id",
        ago=ago,
        id=id_,
    )


def ask(stage, *, rounds=8, services=None, step=None):
    """One export from its begin to its end, as time passes; the row that it leaves."""
    for _ in range(rounds):
        stage.execute("UPDATE log_exports SET due_at = now() WHERE state = 'open'")
        asker = step or AskLogExport(services or stage.services)
        asker()
        asker.close()
        if exports(stage) and exports(stage)[-1].state != "open":
            break
    return exports(stage)[-1] if exports(stage) else None


def ask_later(stage, **how):
    """The next export, after the pauses."""
    stage.execute("UPDATE log_exports SET created_at = created_at - interval '1 day'")
    stage.execute("UPDATE log_lookups SET due_at = now()")
    return ask(stage, **how)


def exports(stage):
    return stage.execute("SELECT * FROM log_exports ORDER BY created_at")


def shown(stage, id_):
    attempts = [row.attempt_id for row in stage.attempts(id_)]
    return [row.shown for row in stage.execute("SELECT * FROM log_lookups WHERE attempt_id = ANY (:ids)", ids=attempts)]


def event_types(stage, id_):
    return [event.type for event in stage.events(id_)]


def calls_to(stage, id_):
    return len(stage.simulator.ledger.of(stage._destinations[id_]))


# --- A call that is there ---


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ("completed", ("delivered", None)),
        ("no_answer", ("no_answer", "no_answer")),
        ("busy", ("busy", "busy")),
        ("failed", ("failed", "not_reached")),
        ("error_before_dial", None),
    ],
)
def test_a_doubtful_call_that_the_log_has_ends_as_its_summary_would_have_it(stage, behaviour, state):
    from deploy.simulator.outcomes import BEHAVIOURS

    if behaviour not in BEHAVIOURS:
        behaviour = next(name for name, one in BEHAVIOURS.items() if one.session_status == "ERROR")
    id_ = in_doubt(stage, behaviour=behaviour)
    stage.endpoint()

    done = ask(stage)
    stage.reconcile()

    (attempt,) = stage.attempts(id_)
    (entry,) = stage.simulator.ledger.of(stage._destinations[id_])
    assert done.state == "done"
    assert jobs.RECONCILE_EVENTS in stage.rung
    assert attempt.session_id == entry.session_id
    assert attempt.settled_at is not None
    assert stage.execute("SELECT count(*) FROM call_legs WHERE attempt_id = :id", id=attempt.attempt_id) == [(1,)]
    assert state is None or stage.state(id_) == state
    assert stage.message(id_).finished_at is not None
    assert len(stage.callbacks(id_)) == 1


def test_a_placed_call_without_a_summary_is_found_by_its_session(stage):
    id_ = placed(stage, behaviour="busy")

    ask(stage)
    stage.reconcile()

    assert stage.state(id_) == ("busy", "busy")


@pytest.mark.parametrize("make", [in_doubt, placed])
def test_undetermined_is_corrected_once_by_the_log_and_a_late_summary_changes_nothing(stage, make):
    stage.endpoint()
    id_ = make(stage)
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()
    before = stage.message(id_).status

    ask(stage)
    stage.reconcile()
    stage.report(id_, "NO_ANSWER", client_request_id=stage.attempts(id_)[0].attempt_id)
    ask_later(stage)
    stage.reconcile()

    assert before == "undetermined"
    assert stage.state(id_) == ("delivered", None)
    assert event_types(stage, id_)[-2:] == ["message.undetermined", "message.corrected"]
    assert event_types(stage, id_).count("message.corrected") == 1
    assert len(stage.callbacks(id_)) == 2
    assert stage.inbox_results() == ["applied", "duplicate"]


def test_a_summary_corrects_undetermined_once_and_the_log_is_not_asked_again(stage):
    id_ = placed(stage)
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()

    stage.report(id_, "BUSY")

    assert ask(stage) is None
    assert stage.state(id_) == ("busy", "busy")
    assert event_types(stage, id_)[-2:] == ["message.undetermined", "message.corrected"]


def test_a_summary_that_comes_while_the_log_is_read_wins(stage):
    id_ = in_doubt(stage)
    (entry,) = stage.simulator.ledger.of(stage._destinations[id_])
    ask(stage)

    stage.keep_webhook(stage.summary(id_, "BUSY", session_id=entry.session_id, echo=True))
    stage.reconcile()

    assert len(stage.inbox_results()) == 2
    assert sorted(stage.inbox_results()) == ["applied", "duplicate"]


def test_two_attempts_that_a_call_may_belong_to_are_both_left_in_doubt(stage):
    first = in_doubt(stage, number=NUMBER)
    second = in_doubt(stage, number=NUMBER, created=False, redial_unknown=True, max_attempts=2)
    stage.execute("UPDATE dial_attempts SET started_at = (SELECT min(started_at) FROM dial_attempts)")

    ask(stage)
    stage.reconcile()

    assert shown(stage, first) == shown(stage, second) == ["ambiguous"]
    assert {stage.message(id_).status for id_ in (first, second)} == {"dial_unknown"}
    assert stage.inbox_results() == []


def test_a_call_to_the_number_from_another_caller_id_is_neither_ours_nor_an_absence(stage):
    id_ = in_doubt(stage, number=NUMBER, created=False, redial_unknown=True, max_attempts=2)
    other = placed(stage, number=NUMBER)
    stage.execute("DELETE FROM dial_attempts WHERE message_id = :id", id=other)
    stage.execute("UPDATE dial_attempts SET source = '+6531589999'")

    ask(stage)

    assert shown(stage, id_) == ["ambiguous"]
    assert stage.message(id_).status == "dial_unknown"


def test_every_file_of_an_export_counts_and_drifted_columns_do_not_matter(stage):
    stage.simulator.set_fault("export_split", copies=3)
    stage.simulator.set_fault("export_drifted")
    ids = [in_doubt(stage) for _ in range(5)]

    ask(stage)
    stage.reconcile()

    assert {stage.message(id_).status for id_ in ids} == {"delivered"}
    assert len(exports(stage)) == 1


# --- A call that is not there ---


def test_a_call_that_the_log_does_not_have_is_dialled_once_more_if_its_sender_wants_that(stage):
    id_ = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)

    done = ask(stage)
    stage.dial(Lane.ALERT)

    assert done.state == "done"
    assert shown(stage, id_) == ["absent"]
    assert jobs.PLACE_CALLS[Lane.ALERT] in stage.rung
    assert stage.state(id_) == ("placed", None)
    assert [row.number for row in stage.attempts(id_)] == [1, 2]

    ask_later(stage)
    stage.dial(Lane.ALERT)

    assert calls_to(stage, id_) == 1


def test_without_a_wish_for_a_redial_an_absence_leaves_the_message_undetermined(stage):
    id_ = in_doubt(stage, created=False, max_attempts=2)

    ask(stage)
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()
    stage.dial(Lane.ALERT)

    assert shown(stage, id_) == ["absent"]
    assert stage.state(id_) == ("undetermined", "never_confirmed")
    assert calls_to(stage, id_) == 0


@pytest.mark.parametrize("left", [timedelta(seconds=0), timedelta(seconds=20)])
def test_no_redial_that_could_not_be_heard_before_the_deadline(stage, left):
    id_ = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)
    stage.execute("UPDATE messages SET deadline = now() + :left, due_at = now() + :left", left=left)

    ask(stage)
    waiting = stage.message(id_).status
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()

    assert waiting == "dial_unknown"
    assert stage.state(id_) == ("undetermined", "never_confirmed")


def test_no_redial_beyond_the_attempts_asked_for(stage):
    id_ = in_doubt(stage, created=False, redial_unknown=True, max_attempts=1)

    ask(stage)

    assert shown(stage, id_) == ["absent"]
    assert stage.message(id_).status == "dial_unknown"


def test_a_placed_call_that_the_log_does_not_have_is_never_dialled_again(stage):
    id_ = placed(stage)
    stage.simulator._account.sessions.finished.clear()
    stage.execute("UPDATE messages SET redial_unknown = true, max_attempts = 4")

    ask(stage)

    assert shown(stage, id_) == ["not_shown"]
    assert stage.message(id_).status == "placed"


def test_a_call_that_may_still_be_up_or_is_just_over_is_not_asked_about(stage):
    in_doubt(stage, created=False, redial_unknown=True, max_attempts=2, ago=timedelta(minutes=10))

    assert ask(stage) is None


def test_a_log_that_lags_behind_calls_which_8x8_reported_shows_no_absence(stage):
    reported = placed(stage, number="+6590000001")
    stage.report(reported)
    id_ = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)
    stage.simulator._account.sessions.finished.clear()

    ask(stage)
    lagging = shown(stage, id_)
    stage.execute(
        "UPDATE dial_attempts SET settled_at = NULL, session_status = NULL WHERE message_id = :id", id=reported
    )
    ask_later(stage)

    assert lagging == ["not_shown"]
    assert shown(stage, id_) == ["absent"]


def test_a_log_whose_times_are_of_another_zone_binds_nothing_by_time_and_shows_no_absence(stage):
    gone = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)
    there = in_doubt(stage)
    (call,) = stage.simulator._account.sessions.finished
    ask(stage, rounds=1)  # 8x8 chooses the calls when it is asked
    call.accepted_at += timedelta(hours=8)

    ask(stage)

    assert shown(stage, gone) == ["not_shown"]
    assert shown(stage, there) == ["ambiguous"]


def test_a_call_that_appears_later_is_found_later(stage):
    id_ = in_doubt(stage)
    stage.simulator.set_fault("export_late", seconds=3600.0)
    ask(stage)
    first = shown(stage, id_)
    stage.simulator.clear_faults()

    ask_later(stage)
    stage.reconcile()

    assert first == ["absent"]
    assert stage.state(id_) == ("delivered", None)


def test_the_log_is_asked_less_and_less_often_about_the_same_call(stage):
    in_doubt(stage, created=False)
    waits = []
    for _ in range(3):
        ask_later(stage)
        waits += stage.execute("SELECT round(extract(epoch FROM due_at - now()) / 300) FROM log_lookups")

    assert [int(wait) for (wait,) in waits] == [1, 2, 4]
    assert ask(stage).state == "done"
    assert len(exports(stage)) == 3


# --- Jobs that come to nothing ---


@pytest.mark.parametrize("word", ["failed", "cancelled", "error", "vanished"])
def test_a_job_that_failed_decides_nothing_and_another_is_begun_later(stage, word):
    id_ = in_doubt(stage, redial_unknown=True, max_attempts=2)
    stage.simulator.set_fault("export_ends", word=word, count=1)

    failed = ask(stage)
    soon = ask(stage)
    ask_later(stage)
    stage.reconcile()

    assert (failed.state, failed.failures) == ("failed", 1)
    assert word in failed.reason or failed.reason
    assert soon.export_id == failed.export_id
    assert exports(stage)[-1].failures == 0
    assert stage.state(id_) == ("delivered", None)


@pytest.mark.parametrize("fault", ["export_narrow", "export_cut"])
def test_a_file_that_cannot_be_read_as_a_whole_decides_nothing(stage, fault):
    gone = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)
    there = in_doubt(stage)
    stage.simulator.set_fault(fault)

    failed = ask(stage)
    stage.reconcile()

    assert failed.state == "failed"
    assert failed.reason.startswith("unreadable: ")
    assert shown(stage, gone) == shown(stage, there) == []
    assert {stage.message(id_).status for id_ in (gone, there)} == {"dial_unknown"}


def test_an_expired_job_is_asked_for_again(stage):
    id_ = in_doubt(stage)
    stage.simulator.set_fault("export_gone", count=1)

    done = ask(stage)
    stage.reconcile()

    assert (done.state, done.jobs) == ("done", 2)
    assert stage.state(id_) == ("delivered", None)


def test_a_job_that_is_never_there_is_not_asked_for_without_end(stage):
    in_doubt(stage)
    stage.simulator.set_fault("export_gone")

    failed = ask(stage, rounds=30)

    assert (failed.state, failed.reason) == ("failed", "too_many_jobs")
    assert failed.jobs == 6  # the last one was counted, and not asked for


def test_a_429_is_waited_out_as_long_as_8x8_says(stage):
    id_ = in_doubt(stage)
    stage.simulator.set_fault("export_refused", code=429, retry_after_s=77, count=1)

    ask(stage, rounds=1)
    (wait,) = stage.execute("SELECT due_at - now() FROM log_exports")[0]
    ask(stage)
    stage.reconcile()

    assert 75 < wait.total_seconds() <= 77
    assert stage.state(id_) == ("delivered", None)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refusal_ends_the_export_and_each_next_one_is_twice_as_far_off(stage, code):
    in_doubt(stage)
    stage.simulator.set_fault("export_refused", code=code)

    ask(stage)
    stage.execute("UPDATE log_exports SET created_at = now() - interval '599 seconds'")
    early = ask(stage)
    stage.execute("UPDATE log_exports SET created_at = now() - interval '601 seconds'")
    later = ask(stage)

    assert (early.failures, later.failures) == (1, 2)
    assert len(exports(stage)) == 2


def test_a_job_that_never_ends_is_given_up(stage):
    in_doubt(stage)
    ask(stage, rounds=1)
    stage.execute("UPDATE log_exports SET created_at = created_at - interval '2 hours'")

    assert ask(stage, rounds=1).reason == "too_slow"


def test_while_8x8_is_away_the_export_waits(stage):
    in_doubt(stage)
    away = stage.new_services(eight_x_eight_export_url="http://127.0.0.1:9")

    open_ = ask(stage, services=away, rounds=3)
    waited = open_.due_at - datetime.now(UTC)
    done = ask(stage)

    assert open_.state == "open"
    assert timedelta(seconds=1) < waited
    assert done.state == "done"


# --- Kills ---


class Killed(BaseException):
    """What no step catches, as nothing catches kill -9."""


def test_killed_between_the_post_of_a_job_and_its_id_another_job_is_asked_for_when_the_lease_ends(stage, monkeypatch):
    id_ = in_doubt(stage)
    step = AskLogExport(stage.services)
    start, started = step._exports.start, []

    def start_and_die(since, until):
        started.append(start(since, until))
        raise Killed

    monkeypatch.setattr(step._exports, "start", start_and_die)
    with pytest.raises(Killed):
        step()
    (left,) = exports(stage)
    another = AskLogExport(stage.services)
    another()
    (held,) = exports(stage)

    done = ask(stage)
    stage.reconcile()

    assert len(started) == 1
    assert (left.state, left.job_id, left.jobs) == ("open", None, 1)
    assert held == left
    assert timedelta(seconds=100) < left.due_at - datetime.now(UTC) < timedelta(seconds=200)
    assert (done.state, done.jobs) == ("done", 2)
    assert stage.state(id_) == ("delivered", None)


@pytest.mark.parametrize("method", ["look", "read"])
def test_killed_while_looking_or_reading_the_same_job_is_taken_up(stage, monkeypatch, method):
    id_ = in_doubt(stage)
    step = AskLogExport(stage.services)

    def die(*arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(step._exports, method, die)
        with pytest.raises(Killed):
            ask(stage, step=step)
    (left,) = exports(stage)

    done = ask(stage)
    stage.reconcile()

    assert left.job_id == done.job_id
    assert (done.state, done.jobs) == ("done", 1)
    assert stage.state(id_) == ("delivered", None)


def test_what_the_log_shows_is_written_with_the_exports_end_or_not_at_all(stage, monkeypatch):
    there = in_doubt(stage)
    gone = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)

    def die(*arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("workers.ask_log_export.moves.apply", die)
        with pytest.raises(Killed):
            ask(stage)
    (left,) = exports(stage)
    kept = stage.inbox_results()
    ask(stage)
    stage.reconcile()

    assert (left.state, kept) == ("open", [])
    assert [stage.message(id_).status for id_ in (there, gone)] == ["delivered", "queued"]


def test_a_sweeper_that_wakes_after_its_lease_changes_nothing(stage, monkeypatch):
    id_ = in_doubt(stage, created=False, redial_unknown=True, max_attempts=2)
    ask(stage, rounds=3)
    slow = AskLogExport(stage.services)
    read = slow._exports.read

    def read_slowly(*arguments):
        ask(stage)
        return read(*arguments)

    monkeypatch.setattr(slow._exports, "read", read_slowly)
    stage.execute("UPDATE log_exports SET due_at = now()")
    slow()

    assert [row.state for row in exports(stage)] == ["done"]
    assert [row.lookups for row in stage.execute("SELECT lookups FROM log_lookups")] == [1]
    assert stage.message(id_).status == "queued"


def test_two_sweepers_have_one_export_between_them(stage):
    in_doubt(stage)
    first, second = AskLogExport(stage.services), AskLogExport(stage.services)
    for step in (first, second):
        step()

    assert len(exports(stage)) == 1
    assert exports(stage)[0].jobs == 1
