"""What grows with each try and leg lies in partitions: there before their time, gone whole, and nobody waits."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from functools import partial

import pytest
import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from shared.db.queries import partitions
from shared.db.queries.partitions import PARTED
from shared.ids import first_id
from tests.integration.worker_stage import staged
from workers import partitions as step

TRIES, LEGS = PARTED
_numbers = itertools.count(1)
WEEK, DAY = timedelta(days=7), timedelta(days=1)


@pytest.fixture
def stage(settings, engines, migrated_template):
    url = engines.postgres.create_database(f"partitions_{next(_numbers)}", template=migrated_template)
    with staged(settings.model_copy(update={"database_url": url})) as stage:
        yield stage


@pytest.fixture(autouse=True)
def calendar(stage, monkeypatch):
    """Lets so many days pass."""
    begin = stage.database.run(partitions.today)
    passed = {"days": 0}
    monkeypatch.setattr(partitions, "today", lambda _: begin + timedelta(days=passed["days"]))

    def go(days):
        passed["days"] += days
        return begin + timedelta(days=passed["days"])

    return go


def known(stage, parted=TRIES):
    return stage.database.run(partial(partitions.known, parted=parted))


def where(stage, parted=TRIES):
    """In which partitions the rows are, by the first day of those that have one."""
    rows = stage.execute(f"SELECT tableoid::regclass::text AS name, count(*) FROM {parted.table} GROUP BY 1")
    return {row.name.removeprefix(f"{parted.table}_"): row.count for row in rows}


def name_of(day):
    return f"{day:%Y%m%d}_{day + WEEK:%Y%m%d}"


def told(stage, day, *, owner=True):
    """A callback of that day, tried once."""
    moment = datetime.combine(day, time(12), UTC) + timedelta(seconds=next(_numbers))
    id_ = first_id("cb", moment) + "_1"
    if owner:
        stage.execute(
            "INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, state, finished_at)"
            " VALUES (:id, :id, 'ep_a', 'msg_a', 'done', now())",
            id=id_,
        )
    stage.execute("INSERT INTO delivery_attempts (callback_id, number) VALUES (:id, 1)", id=id_)
    return id_


def add(stage, parted=TRIES):
    step.add_missing(stage.database, parted, WEEK)


def forget(stage, *ids):
    stage.execute("DELETE FROM callbacks WHERE callback_id = ANY (:ids)", ids=list(ids))


@pytest.mark.parametrize(("retention_days", "days"), [(1, 1), (12, 1), (13, 2), (90, 8), (3650, 305)])
def test_a_twelfth_of_what_is_kept_lies_in_each(retention_days, days):
    assert step.width_of(retention_days) == timedelta(days=days)


@pytest.mark.parametrize("parted", PARTED, ids=lambda one: one.table)
def test_each_is_there_before_its_time_and_made_once(stage, calendar, parted):
    (first,) = known(stage, parted)
    for _ in range(30):
        today = calendar(3)
        add(stage, parted)
        add(stage, parted)
        assert known(stage, parted)[-1].until >= today + 2 * WEEK
    every = known(stage, parted)

    assert [one.since for one in every] == [None, *(one.until for one in every[:-1])]
    assert {one.until - one.since for one in every[1:]} == {WEEK}
    assert first.since is None


def test_a_row_lies_in_the_partition_of_its_time_and_is_found_by_its_id(stage, calendar):
    today = calendar(7)
    add(stage)
    ids = [told(stage, today + days * DAY) for days in (-2, 0, 6, 7)]

    assert where(stage) == {f"before_{today:%Y%m%d}": 1, name_of(today): 2, name_of(today + WEEK): 1}
    assert all(stage.execute("SELECT FROM delivery_attempts WHERE callback_id = :id", id=id_) for id_ in ids)


def test_one_goes_whole_when_nothing_refers_to_its_rows_and_the_others_stay(stage, calendar):
    begin = calendar(7)
    add(stage)
    old, young = told(stage, begin), told(stage, begin + WEEK)
    stage.execute("DELETE FROM delivery_attempts WHERE callback_id < :id", id=old)
    calendar(9)
    step.let_go(stage.database, TRIES)
    kept = where(stage)
    forget(stage, old)

    step.let_go(stage.database, TRIES)

    assert kept == {name_of(begin): 1, name_of(begin + WEEK): 1}
    assert where(stage) == {name_of(begin + WEEK): 1}
    assert name_of(begin) not in {one.name.removeprefix("delivery_attempts_") for one in known(stage)}
    assert stage.execute("SELECT FROM delivery_attempts WHERE callback_id = :id", id=young)


def test_a_straggler_keeps_its_own_partition_alone(stage, calendar):
    begin = calendar(7)
    add(stage)
    straggler, young = told(stage, begin), told(stage, begin + WEEK)
    calendar(16)
    forget(stage, young)

    step.let_go(stage.database, TRIES)

    assert where(stage) == {name_of(begin): 1}
    assert stage.execute("SELECT FROM delivery_attempts WHERE callback_id = :id", id=straggler)


def test_none_goes_before_its_days_are_over(stage, calendar):
    calendar(7)
    add(stage)
    before = known(stage)
    calendar(0)
    step.let_go(stage.database, TRIES)

    assert known(stage) == before


def test_what_a_kill_left_detached_is_dropped_in_the_next_round(stage, calendar):
    calendar(9)
    stage.database.run(partial(step._detach_one, parted=TRIES))
    left = known(stage)

    step.let_go(stage.database, TRIES)

    assert [one.is_attached for one in left] == [False]
    assert known(stage) == []


def test_a_backup_that_reads_the_table_is_not_waited_for_and_nobody_waits_behind_us(stage, calendar):
    calendar(9)
    add(stage)
    with stage.database.engine.connect() as backup:
        backup.exec_driver_sql("SELECT count(*) FROM delivery_attempts")
        with pytest.raises(OperationalError, match="LockNotAvailable"):
            step.let_go(stage.database, TRIES)
        told(stage, calendar(0))
        backup.rollback()
    before = len(known(stage))
    step.let_go(stage.database, TRIES)

    assert len(known(stage)) == before - 1


def test_what_no_partition_takes_lies_in_the_default_one_until_it_is_over(stage, calendar):
    today = calendar(30)  # nobody swept
    lost, kept = told(stage, today), told(stage, today + DAY)
    add(stage)
    later = told(stage, today + 3 * DAY)
    calendar(9)
    forget(stage, lost)
    before = where(stage)

    step.delete_loose(stage.database, TRIES, threading.Event())

    assert before == {"rest": 2, name_of(today + 2 * DAY): 1}
    assert where(stage) == {"rest": 1, name_of(today + 2 * DAY): 1}
    assert all(stage.execute("SELECT FROM delivery_attempts WHERE callback_id = :id", id=id_) for id_ in (kept, later))


def test_legs_of_test_messages_lie_in_the_default_one_and_go_when_their_attempts_do(stage, calendar):
    stage.execute(
        "INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key,"
        " valid_until) SELECT prefix || :id, 'msg_a', 1, 'c', 's', '+1', '', now()"
        " FROM unnest(ARRAY['att', 'test']) prefix",
        id=first_id("", datetime.combine(calendar(0), time(12), UTC)),
    )
    stage.execute(
        "INSERT INTO call_legs (attempt_id, session_id, leg) SELECT attempt_id, 's', 'callA' FROM dial_attempts"
    )
    calendar(3)
    step.delete_loose(stage.database, LEGS, threading.Event())
    kept = set(where(stage, LEGS).values())
    stage.execute("DELETE FROM dial_attempts WHERE attempt_id LIKE 'test%'")
    step.delete_loose(stage.database, LEGS, threading.Event())

    assert kept == {1}
    assert [row.attempt_id[:3] for row in stage.execute("SELECT attempt_id FROM call_legs")] == ["att"]
    assert "rest" not in where(stage, LEGS)


def test_what_was_there_before_goes_row_by_row_and_at_last_whole(stage, calendar):
    begin = calendar(0)
    first, second = told(stage, begin), told(stage, begin + DAY)
    calendar(3)
    forget(stage, first)
    step.delete_loose(stage.database, TRIES, threading.Event())
    left = [row.callback_id for row in stage.execute("SELECT callback_id FROM delivery_attempts")]
    forget(stage, second)
    calendar(6)
    add(stage)

    step.let_go(stage.database, TRIES)

    assert left == [second]
    assert all(one.since for one in known(stage))


def test_who_may_not_make_partitions_keeps_everything_in_the_default_one(stage, calendar):
    today = calendar(30)
    stage.execute("DROP ROLE IF EXISTS somebody")
    stage.execute("CREATE ROLE somebody LOGIN")
    stage.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO somebody")
    url = make_url(stage.settings.database_url).set(username="somebody")
    somebody = stage.new_services(database_url=url.render_as_string(hide_password=False))
    forgotten = told(stage, today)
    told(stage, calendar(3))
    forget(stage, forgotten)
    stop = threading.Event()
    stop.set()  # after the first round

    with structlog.testing.capture_logs() as lines:
        step.keep_partitions(somebody, stop)

    failed = [(one["table"], one["error"]) for one in lines if one["event"] == "partition_failed"]
    assert set(failed) == {(parted.table, "ProgrammingError") for parted in PARTED}
    assert where(stage) == {"rest": 1}
    stage.execute("DROP OWNED BY somebody")


def test_messages_live_on_while_partitions_come_and_go(stage, calendar):
    stage.endpoint()
    add(stage)
    over = threading.Event()

    def tend():
        while not over.is_set():
            calendar(7)
            for parted in PARTED:
                step.add_missing(stage.database, parted, WEEK)
                step.let_go(stage.database, parted)

    with ThreadPoolExecutor(2) as pool:
        tending = [pool.submit(tend) for _ in range(2)]
        ids = []
        for _ in range(20):
            ids += stage.keep_all([stage.new_message() for _ in range(5)])
            stage.dial()
            stage.keep_received()
            stage.reconcile()
        while stage.execute("SELECT FROM messages WHERE finished_at IS NULL"):
            stage.keep_received()
            stage.reconcile()
        over.set()
        for one in tending:
            one.result()

    assert {stage.message(id_).status for id_ in ids} == {"delivered"}
    assert stage.execute("SELECT count(DISTINCT attempt_id) FROM call_legs") == [(100,)]
    assert len(stage.execute("SELECT FROM callbacks WHERE message_id = ANY (:ids)", ids=ids)) == 100
