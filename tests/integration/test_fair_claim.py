"""Who is dialled next: the most urgent of a provider, providers in fair shares, whatever waits behind them."""

import re

import pytest

from shared.db.queries import claim as claims
from shared.db.queries import daily_calls, sweep
from shared.db.queries.pacing import open_pace
from shared.ids import new_id
from shared.lifecycle import Lane
from shared.pacing import Pace
from tests.integration.worker_stage import PROVIDER, staged

PACE = Pace(subaccount_id="test_voice", dials_per_second=1e6, max_in_flight=100_000, lease_s=30, ring_s=60)
SMALL = "prov_small"


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.database.run(lambda connection: open_pace(connection, "test_voice", 1e6))
        yield stage


def claim(stage, wanted, *, lane=Lane.OTP):
    return stage.database.run(
        lambda connection: claims.claim(connection, PACE, lane, wanted=wanted, claim_id=new_id("claim")), alone=True
    )


def fill(stage, many, *, provider=PROVIDER, lane=Lane.OTP, status="queued", name="q"):
    """Store messages by the thousand; the deadlines come in the order of their numbers."""
    stage.database.run(lambda connection: daily_calls.open_counts(connection, [provider]))
    stage.execute(
        "INSERT INTO messages (id, provider_id, message_id, fingerprint, lane, status, content, destination_key,"
        " destination_masked, country, source, voice, speed, plays, seconds_per_play, interruptible, max_attempts,"
        " spare_attempts, redial_unknown, metadata, warnings, deadline, due_at, finished_at)"
        " SELECT 'msg_' || :name || n, :provider, :name || n, 'f', :lane, :status,"
        " CASE WHEN :status = 'queued' THEN 'c'::bytea END, decode(md5(:name || n), 'hex'),"
        " '+65', 'SG', '+6531580001', 'v', 1, 2, 4, false, 1, 0, false, '{}', '[]',"
        " now() + interval '1 hour' + n * interval '1 ms', CASE WHEN :status = 'queued' THEN now() END,"
        " CASE WHEN :status <> 'queued' THEN now() END FROM generate_series(1, :many) n",
        many=many, provider=provider, lane=lane, status=status, name=name,
    )  # fmt: skip


def providers_of(stage, calls):
    ids = [call.message_id for call in calls]
    rows = stage.execute("SELECT provider_id FROM messages WHERE id = ANY (:ids)", ids=ids)
    return sorted(row.provider_id for row in rows)


def test_of_one_provider_the_earliest_deadlines_come_first(stage):
    fill(stage, 500)

    ids = [call.message_id for _ in range(3) for call in claim(stage, 7).calls]

    assert ids == [f"msg_q{n}" for n in range(1, 22)]


def test_fifty_thousand_of_one_provider_do_not_delay_ten_of_another(stage):
    fill(stage, 50_000)
    fill(stage, 10, provider=SMALL, name="s")  # no deadline is earlier than those of the first ten thousands

    first = providers_of(stage, claim(stage, 20).calls)

    assert first.count(SMALL) == 10


def test_shares_are_fair_over_many_small_claims_too(stage):
    fill(stage, 300)
    fill(stage, 300, provider=SMALL, name="s")
    claim(stage, 10)

    claimed = [call for _ in range(20) for call in claim(stage, 1).calls]

    assert providers_of(stage, claimed).count(SMALL) == 10


def test_a_provider_with_calls_up_lets_a_new_one_catch_up(stage):
    fill(stage, 300)
    claim(stage, 30)
    fill(stage, 300, provider=SMALL, name="s")

    assert providers_of(stage, claim(stage, 30).calls) == [SMALL] * 30


def test_each_of_fifty_providers_has_a_share_and_the_claim_is_full(stage):
    fill(stage, 5_000)
    for n in range(49):
        fill(stage, 20, provider=f"prov_{n:02}", name=f"p{n}_")

    claimed = claim(stage, 64)

    assert len(claimed.calls) == 64
    assert len(set(providers_of(stage, claimed.calls))) == 50
    assert claimed.waiting


def test_a_claim_that_looked_at_too_little_says_that_more_waits(stage):
    fill(stage, 500)
    for n in range(9):
        fill(stage, 1, provider=f"prov_{n:02}", name=f"p{n}_")

    claimed = claim(stage, 64)

    assert (len(claimed.calls) > 15, claimed.waiting) == (True, True)


def test_what_another_transaction_holds_is_passed_over(stage):
    fill(stage, 30)
    with stage.database.engine.connect() as other:
        other.exec_driver_sql("SELECT 1 FROM messages WHERE id IN ('msg_q1', 'msg_q2') FOR UPDATE")

        ids = [call.message_id for call in claim(stage, 10).calls]

    assert ids[0] == "msg_q3"
    assert len(ids) >= 9


def test_a_hundred_thousand_notifications_do_not_delay_a_passcode(stage):
    fill(stage, 1_000)
    stage.execute("ANALYZE messages")
    idle = pages_read(stage)
    fill(stage, 100_000, lane=Lane.NOTIFICATION, name="n")
    stage.execute("ANALYZE messages")

    assert pages_read(stage) <= 1.3 * idle
    assert {call.lane for call in claim(stage, 64).calls} == {Lane.OTP}


def test_what_is_finished_does_not_slow_a_claim_down(stage):
    reads = []
    for many in (1_000, 50_000):
        stage.execute("TRUNCATE messages CASCADE")
        fill(stage, many, status="delivered", name="d")
        fill(stage, 1_000)
        stage.execute("ANALYZE messages")
        reads.append(pages_read(stage))

    assert reads[1] <= 1.3 * reads[0]


@pytest.mark.parametrize("analysed", [True, False])
@pytest.mark.parametrize("lane", [Lane.OTP, Lane.ALERT])
def test_a_claim_reads_the_heads_of_long_queues_only(stage, lane, analysed):
    fill(stage, 20_000, lane=lane)
    fill(stage, 5_000, lane=lane, provider=SMALL, name="s")
    if analysed:
        stage.execute("ANALYZE messages")

    assert pages_read(stage, lane) < 2_000


def pages_read(stage, lane=Lane.OTP):
    values = {"subaccount_id": "test_voice", "rate": 1e6, "max_in_flight": 100_000, "share": 1, "lease_s": 30}
    values |= {"ring_s": 60, "lane": str(lane), "wanted": 64, "claim_id": "claim_plan"}
    values |= {"daily_calls": 10**6, "provider_daily_calls": 10**6}
    statement = claims._CLAIM_OTP if lane is Lane.OTP else claims._CLAIM_BULK
    select = re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement.sql[-1])
    with stage.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {select}", values).all()
        connection.rollback()
    return sum(
        int(number) for number in re.findall(r"(?:hit|read)=(\d+)", next(r[0] for r in rows if "Buffers" in r[0]))
    )


def test_messages_that_wait_for_later_are_passed_over_unread(stage):
    fill(stage, 20_000)
    stage.execute("UPDATE messages SET due_at = now() + interval '1 minute'")
    stage.keep(ttl_s=7200)

    assert len(claim(stage, 5).calls) == 1
    assert pages_read(stage) < 5_000


def test_the_sweeper_finds_passed_deadlines_of_every_provider_in_their_order(stage):
    fill(stage, 3)
    fill(stage, 3, provider=SMALL, name="s")
    stage.execute("UPDATE messages SET deadline = now() - substr(message_id, 2)::int * interval '1 s'")

    rows = stage.database.run(lambda connection: sweep.past_deadline(connection, Lane.OTP, sweep.START, 4))

    assert [row.id[-1] for row in rows] == ["3", "3", "2", "2"]
