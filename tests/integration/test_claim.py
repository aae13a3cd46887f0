"""Claims: each message once, the most urgent first, inside pace and capacity, one call at a time per phone."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.db.queries import claim as claims
from shared.db.queries.pacing import open_pace
from shared.ids import new_id
from shared.lifecycle import Lane
from shared.pacing import Pace
from tests.integration.worker_stage import PROVIDER, staged

PACE = Pace(subaccount_id="test_voice", dials_per_second=1e6, max_in_flight=100_000, lease_s=30, ring_s=60)
NUMBER = "+6581234567"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.database.run(lambda connection: open_pace(connection, "test_voice", 1e6))
        yield stage


def pace(**changes):
    return Pace(**{name: changes.get(name, getattr(PACE, name)) for name in Pace.__slots__})


def claim(stage, wanted=100, *, lane=Lane.OTP, limits=PACE, claim_id=None):
    claim_id = claim_id or new_id("claim")
    return stage.database.run(
        lambda connection: claims.claim(connection, limits, lane, wanted=wanted, claim_id=claim_id), alone=True
    )


def ids_of(claimed):
    return [call.message_id for call in claimed.calls]


def claim_until_empty(stage, claimers, *, wanted, limits=PACE):
    together = threading.Barrier(claimers)

    def work():
        together.wait()
        won = []
        while ids := ids_of(claim(stage, wanted, limits=limits)):
            won += ids
        return won

    with ThreadPoolExecutor(claimers) as pool:
        claims = [pool.submit(work) for _ in range(claimers)]
        return [won.result() for won in claims]


@pytest.mark.parametrize("claimers", [2, 8])
def test_racing_claimers_win_each_message_exactly_once(stage, claimers):
    ids = stage.keep_all([stage.new_message() for _ in range(500)])

    won = claim_until_empty(stage, claimers, wanted=20)

    assert sorted(id_ for each in won for id_ in each) == sorted(ids)
    assert stage.execute("SELECT count(*), count(DISTINCT message_id) FROM dial_attempts") == [(500, 500)]


def test_the_earliest_deadline_is_dialled_first(stage):
    late, soon, middle = (stage.keep(ttl_s=ttl_s) for ttl_s in (900, 300, 600))

    assert ids_of(claim(stage, 2)) == [soon, middle]
    assert ids_of(claim(stage, 2)) == [late]


def test_what_is_not_due_yet_or_too_late_is_not_dialled(stage):
    later, passed = stage.keep(), stage.keep()
    stage.execute("UPDATE messages SET due_at = now() + interval '1 s' WHERE id = :id", id=later)
    stage.execute("UPDATE messages SET deadline = now() WHERE id = :id", id=passed)

    claimed = claim(stage)

    assert (ids_of(claimed), claimed.waiting) == ([], False)


def test_a_paused_lane_is_left_alone_and_the_others_go_on(stage):
    otp, alert = stage.keep(), stage.keep(lane=Lane.ALERT)
    stage.execute("INSERT INTO lanes (lane, paused_at) VALUES ('otp', now())")

    paused = claim(stage)

    assert (ids_of(paused), paused.waiting) == ([], False)
    assert ids_of(claim(stage, lane=Lane.ALERT)) == [alert]
    assert stage.message(otp).status == "queued"


def test_the_dial_rate_holds_over_two_claimers(stage):
    stage.keep_all([stage.new_message() for _ in range(300)])
    stage.execute("UPDATE subaccounts SET tokens = 0, refilled_at = clock_timestamp()")
    limits = pace(dials_per_second=100)
    began = time.monotonic()
    together = threading.Barrier(2)

    def work():
        together.wait()
        dialled = 0
        while time.monotonic() - began < 1:
            dialled += len(claim(stage, 5, limits=limits).calls)
        return dialled

    with ThreadPoolExecutor(2) as pool:
        dialled = sum(pool.map(lambda _: work(), range(2)))
    elapsed_s = time.monotonic() - began

    assert 0.8 * 100 * 1 <= dialled <= 100 * elapsed_s + 1


def test_a_pause_saves_up_no_more_than_a_fifth_of_a_second(stage):
    stage.keep_all([stage.new_message() for _ in range(50)])
    stage.execute("UPDATE subaccounts SET tokens = 0, refilled_at = now() - interval '1 hour'")

    assert len(claim(stage, 50, limits=pace(dials_per_second=100)).calls) == 20


def test_the_cap_on_calls_in_flight_is_never_exceeded(stage):
    stage.keep_all([stage.new_message() for _ in range(200)])

    won = claim_until_empty(stage, 8, wanted=7, limits=pace(max_in_flight=50))

    assert sum(len(each) for each in won) == 50
    assert stage.execute("SELECT count(*) FROM messages WHERE status = 'dialing'") == [(50,)]


def test_a_call_that_can_no_longer_be_up_frees_its_place(stage):
    first, second = stage.keep(ttl_s=300), stage.keep()
    limits = pace(max_in_flight=1)
    claim(stage, limits=limits)
    full = claim(stage, limits=limits)
    stage.execute("UPDATE messages SET busy_until = now() WHERE id = :id", id=first)

    assert (ids_of(full), full.room, full.waiting) == ([], 0, True)
    assert ids_of(claim(stage, limits=limits)) == [second]


def test_other_lanes_leave_a_fifth_of_the_capacity_to_passcodes(stage):
    stage.keep_all([stage.new_message(lane=Lane.ALERT) for _ in range(10)])
    stage.keep_all([stage.new_message() for _ in range(10)])
    limits = pace(max_in_flight=10)

    assert len(claim(stage, lane=Lane.ALERT, limits=limits).calls) == 8
    assert len(claim(stage, limits=limits).calls) == 2


def test_two_messages_to_one_phone_in_one_batch_are_dialled_one_after_the_other(stage):
    second, first = stage.keep(NUMBER, ttl_s=900), stage.keep(NUMBER, ttl_s=600)

    assert ids_of(claim(stage)) == [first]
    assert ids_of(claim(stage)) == []
    stage.execute("UPDATE messages SET busy_destination = NULL, busy_until = NULL WHERE id = :id", id=first)
    assert ids_of(claim(stage)) == [second]


def test_racing_claimers_dial_one_phone_once(stage):
    stage.keep_all([stage.new_message(NUMBER, ttl_s=900) for _ in range(40)])

    won = claim_until_empty(stage, 8, wanted=5)

    assert sum(len(each) for each in won) == 1
    assert stage.execute("SELECT count(*) FROM messages WHERE status = 'queued'") == [(39,)]


def test_a_message_that_would_miss_its_deadline_by_waiting_is_dialled_at_once(stage):
    first, hasty = stage.keep(NUMBER, ttl_s=60), stage.keep(NUMBER, ttl_s=65)
    claim(stage)

    assert ids_of(claim(stage)) == [hasty]
    assert stage.message(first).busy_destination is not None
    assert stage.message(hasty).busy_destination is None
    assert stage.message(hasty).busy_until is not None


def test_a_destination_taken_in_the_same_moment_is_looked_at_again(stage):
    held, wanted = stage.keep(NUMBER, ttl_s=900), stage.keep(NUMBER, ttl_s=600)
    holder = stage.database.engine.connect()
    holder.exec_driver_sql(f"UPDATE messages SET busy_destination = destination_key WHERE id = '{held}'")
    dialer = stage.dialer()
    result = []
    claimer = threading.Thread(target=lambda: result.append(dialer._claim(Lane.OTP, 10)))

    claimer.start()
    while not stage.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'"):
        assert claimer.is_alive()
    holder.commit()
    holder.close()
    claimer.join()

    assert (result[0].calls, result[0].waiting) == ([], True)
    assert stage.message(wanted).status == "queued"
    assert stage.attempts(wanted) == []


def test_the_schema_itself_allows_one_busy_call_per_phone(stage):
    stage.keep_all([stage.new_message(NUMBER) for _ in range(2)])

    with pytest.raises(IntegrityError):
        stage.execute("UPDATE messages SET busy_destination = destination_key")


def test_a_claim_whose_answer_was_lost_is_given_back(stage):
    id_ = stage.keep()
    claim(stage, claim_id="claim_lost")
    dialer = stage.dialer()
    dialer._lost_claims.append("claim_lost")

    dialer._give_back_lost_claims()

    assert stage.message(id_).status == "queued"
    assert stage.message(id_).busy_until is None
    assert [(one.disposition, one.reason) for one in stage.attempts(id_)] == [("not_sent", "lease_lost")]
    assert dialer._lost_claims == []


def test_a_lost_claim_is_looked_for_among_open_messages_only(stage):
    stage.keep_all([stage.new_message() for _ in range(1000)])
    stage.execute("UPDATE messages SET status = 'delivered', finished_at = now(), due_at = NULL, content = NULL")
    stage.keep()
    stage.execute("ANALYZE messages")
    claim(stage, claim_id="claim_lost")

    with stage.database.transaction() as connection:
        read = "SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        before = connection.execute(text(read)).scalar()
        returned = claims.give_back(connection, "claim_lost")
        rows = connection.execute(text(read)).scalar() - before

    assert len(returned) == 1
    assert rows < 100


def test_a_lost_claim_that_was_dialled_by_another_since_is_left_alone(stage):
    id_ = stage.keep()
    claim(stage, claim_id="claim_lost")
    stage.database.run(lambda connection: claims.give_back(connection, "claim_lost"))
    claim(stage, claim_id="claim_other")

    returned = stage.database.run(lambda connection: claims.give_back(connection, "claim_lost"))

    assert returned == []
    assert stage.message(id_).status == "dialing"


def test_an_attempt_row_says_everything_before_the_call_is_placed(stage):
    id_ = stage.keep(ttl_s=60)

    call = claim(stage).calls[0]

    row = stage.attempts(id_)[0]
    assert (row.attempt_id, row.number, row.subaccount_id) == (f"att_{id_[4:]}_1", 1, "test_voice")
    assert row.disposition is None
    assert call.valid_until == row.valid_until == call.deadline


def test_a_callflow_is_valid_for_ninety_seconds_at_most(stage):
    stage.keep(ttl_s=600)

    call = claim(stage).calls[0]

    assert (call.valid_until - call.now).total_seconds() == 90


@pytest.mark.parametrize(("limit", "doubtful", "expected"), [(1, 0, False), (2, 0, True), (2, 1, False), (3, 1, True)])
def test_a_doubtful_call_may_be_dialled_again_while_attempts_are_left(stage, limit, doubtful, expected):
    stage.keep(redial_unknown=True, max_attempts=limit)
    for _ in range(doubtful):
        claim(stage)
        stage.execute("UPDATE messages SET status = 'queued', due_at = now(), busy_destination = NULL")

    assert [call.may_redial for call in claim(stage).calls] == [expected]


def plan_of_claim(stage):
    values = {"subaccount_id": "test_voice", "rate": 1e6, "max_in_flight": 100_000, "share": 1, "lease_s": 30}
    values |= {"ring_s": 60, "lane": "otp", "wanted": 100, "claim_id": "claim_plan"}
    values |= {"daily_calls": 10**6, "provider_daily_calls": 10**6}
    select = claims._CLAIM_OTP.sql[-1]
    with stage.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {_driver_sql(select)}", values).all()
        connection.rollback()
    return "\n".join(row[0] for row in rows)


def _driver_sql(sql):
    return re.sub(r"(?<!:):(\w+)", r"%(\1)s", sql)


@pytest.mark.parametrize("analysed", [True, False])
def test_a_claim_from_a_long_queue_reads_only_its_head(stage, analysed):
    stage.execute(
        "INSERT INTO messages (id, provider_id, message_id, fingerprint, lane, status, content, destination_key,"
        " destination_masked, country, source, voice, speed, plays, seconds_per_play, interruptible, max_attempts,"
        " spare_attempts, redial_unknown, metadata, warnings, deadline, due_at, busy_destination, busy_until)"
        " SELECT 'msg_' || n, :provider, n::text, 'f', 'otp', CASE WHEN n <= 10000 THEN 'queued' ELSE 'placed' END,"
        " 'c', decode(md5(n::text), 'hex'), '+65', 'SG', '+6531580001', 'v', 1, 2, 4, false, 1, 0, false, '{}',"
        " '[]', now() + 600 * random() * interval '1 s' + interval '1 s', now(),"
        " CASE WHEN n > 10000 THEN decode(md5(n::text), 'hex') END,"
        " CASE WHEN n > 10000 THEN now() + interval '60 s' END"
        " FROM generate_series(1, 15000) n",
        provider=PROVIDER,
    )
    if analysed:
        stage.execute("ANALYZE messages")

    plan = plan_of_claim(stage)

    assert "messages_queue_idx" in plan
    assert "Seq Scan on messages" not in plan


def test_the_first_claim_of_a_subaccount_takes_what_its_new_pace_allows(stage):
    stage.execute("DELETE FROM subaccounts")
    kept = [stage.keep(f"+659100000{n}") for n in range(3)]

    claimed = claim(stage, limits=pace(dials_per_second=1))

    assert len(claimed.calls) == 1
    assert sorted(row.status for row in map(stage.message, kept)) == ["dialing", "queued", "queued"]


def test_a_lost_claim_is_given_back_even_after_its_lease(stage):
    id_ = stage.keep()
    claim(stage, claim_id="claim_lost")
    stage.execute("UPDATE messages SET due_at = now()")
    stage.sweep()
    lapsed = stage.message(id_).status

    stage.database.run(lambda connection: claims.give_back(connection, "claim_lost"))

    assert (lapsed, stage.message(id_).status) == ("dial_unknown", "queued")


def test_a_clock_that_stepped_back_stops_no_dialling(stage):
    stage.execute("UPDATE subaccounts SET tokens = 0, refilled_at = now() + interval '5 minutes'")
    id_ = stage.keep()

    claim(stage)
    (again,) = claim(stage).calls

    assert again.message_id == id_


def test_a_new_attempt_forgets_the_session_of_the_one_before(stage):
    id_ = stage.keep()
    stage.execute("UPDATE messages SET session_id = 'session-1'")

    claim(stage)

    assert stage.message(id_).session_id is None
