"""Hard caps on a day's calls: not one more than they allow, whoever claims and whatever dies (T15)."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingress.exposition import exposition
from shared import vitals
from shared.alarms import ringing
from shared.db.database import Database
from shared.db.queries import claim as claims
from shared.db.queries import daily_calls, dial, stops
from shared.db.queries.pacing import open_pace
from shared.ids import new_id
from shared.lifecycle import Event, Lane, Move
from shared.pacing import Pace
from shared.stops import Scope, Stop
from shared.voice_api.codes import Disposition
from tests.integration.worker_stage import PROVIDER, staged

#: ``RINGPOST_T15=full``: as large as the specification asks.
FULL = os.environ.get("RINGPOST_T15") == "full"
CLAIMERS = 50
NOWHERE = "http://127.0.0.1:9"
MESSAGES = 4000 if FULL else 60  # of each provider
PACE = Pace("test_voice", 1e6, 1_000_000, lease_s=30, ring_s=60, provider_daily_calls=1_000_000)
OTHERS = [f"prov_{n}" for n in range(5)]


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        for account in ("test_voice", "other_voice"):
            stage.database.run(lambda connection, account=account: open_pace(connection, account, 1e6))
        yield stage


def claim(database, wanted=100, *, lane=Lane.OTP, pace=PACE):
    return database.run(
        lambda connection: claims.claim(connection, pace, lane, wanted=wanted, claim_id=new_id("claim")), alone=True
    )


def cap(stage, provider_id, calls, **how):
    stage.database.run(lambda connection: daily_calls.set_cap(connection, provider_id, calls, **how))


def counted(stage):
    rows = stage.execute("SELECT name, calls FROM daily_calls WHERE calls > 0")
    return {row.name: row.calls for row in rows}


def in_tomorrow(stage, id_):
    stage.execute("UPDATE messages SET deadline = now() + interval '25 hours' WHERE id = :id", id=id_)


def test_fifty_claimers_of_two_subaccounts_never_exceed_a_cap_by_even_one_call(stage, settings):
    """Each provider's, and that of the day, are crossed by all at once; nobody records, so every claim was a death."""
    limits = {name: MESSAGES // 2 + 7 * n for n, name in enumerate(OTHERS)}
    for name, calls in limits.items():
        cap(stage, name, calls)
    stage.keep_all([stage.new_message(provider_id=name) for name in (*OTHERS, PROVIDER) for _ in range(MESSAGES)])
    whole_day = sum(limits.values()) + MESSAGES // 3
    pace = replace(PACE, daily_calls=whole_day)
    paces = [pace, replace(pace, subaccount_id="other_voice")]
    database = Database(settings.database_url, application="claimers", pool_size=CLAIMERS)
    together = threading.Barrier(CLAIMERS)

    def work(number):
        together.wait()
        won, empty = [], 0
        while empty < 2:
            calls = claim(database, 7, pace=paces[number % 2]).calls
            won += [call.message_id for call in calls]
            empty = 0 if calls else empty + 1
        return won

    with ThreadPoolExecutor(CLAIMERS) as pool:
        won = [id_ for each in pool.map(work, range(CLAIMERS)) for id_ in each]
    database.close()

    dialled = dict(stage.execute("SELECT provider_id, count(*) FROM messages WHERE attempt > 0 GROUP BY provider_id"))
    assert len(won) == len(set(won)) == sum(dialled.values()) == whole_day
    assert {name: many for name, many in dialled.items() if many > limits.get(name, MESSAGES)} == {}
    assert counted(stage) == dialled | {"*": whole_day}


def test_calls_reach_8x8_up_to_the_cap_and_no_further_by_several_workers(stage):
    stage.keep_all([stage.new_message(ttl_s=60) for _ in range(60)])
    cap(stage, PROVIDER, 23)
    workers = [stage.dialer(dial_senders=5) for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda worker: worker(Lane.OTP), workers))
    for worker in workers:
        worker.drain()

    assert len(stage.simulator.ledger.accepted) == 23
    assert counted(stage) == {PROVIDER: 23, "*": 23}


def test_a_worker_that_died_before_its_post_has_used_up_the_call(stage):
    stage.keep_all([stage.new_message() for _ in range(3)])
    cap(stage, PROVIDER, 2)
    claim(stage.database, 1)  # and is not heard of again

    assert len(claim(stage.database).calls) == 1
    assert claim(stage.database).calls == []


def test_while_8x8_cannot_be_reached_the_days_calls_are_not_used_up(stage):
    stage.keep_all([stage.new_message(ttl_s=60) for _ in range(6)])
    cap(stage, PROVIDER, 7)

    for _ in range(3):
        stage.dial(step=stage.dialer(eight_x_eight_base_url=NOWHERE))
        stage.execute("UPDATE messages SET due_at = now()")

    attempts = stage.execute("SELECT disposition, count(*) AS many FROM dial_attempts GROUP BY 1")
    assert [(row.disposition, row.many) for row in attempts] == [("not_sent", 18)]
    assert counted(stage) == {}


def test_what_never_left_is_given_back_once_though_its_record_is_repeated(stage):
    stage.keep_all([stage.new_message() for _ in range(3)])
    call, *_ = claim(stage.database).calls
    move = Move(call.message_id, Event.DIAL_POSTPONED, call.attempt_id, due_in_s=0)
    result = dial.DialResult(call.attempt_id, Disposition.NOT_SENT, "unreachable", None, None, None, move)

    def record():
        return stage.database.run(lambda connection: dial.record(connection, [result]))

    assert [record().unmade, record().unmade] == [[call.attempt_id], []]


def test_a_redial_counts(stage):
    stage.keep(max_attempts=3)
    claim(stage.database)
    stage.execute("UPDATE messages SET status = 'queued', due_at = now(), busy_destination = NULL")
    cap(stage, PROVIDER, 2)

    assert [call.number for call in claim(stage.database).calls] == [2]
    assert counted(stage)[PROVIDER] == 2


def test_a_cap_that_is_met_holds_up_nobody_else_and_does_not_ask_to_be_looked_at_again(stage):
    first, other = stage.keep(), stage.keep(provider_id="prov_1")
    cap(stage, PROVIDER, 0)
    claim(stage.database, 0)  # the other has a row to be counted in now

    claimed = claim(stage.database)

    assert [call.message_id for call in claimed.calls] == [other]
    assert claimed.waiting is False
    assert stage.message(first).status == "queued"
    nobody = claim(stage.database, pace=replace(PACE, daily_calls=1))
    assert (nobody.calls, nobody.waiting) == ([], False)


def test_without_a_number_of_its_own_a_provider_has_that_of_the_setting(stage):
    stage.keep_all([stage.new_message() for _ in range(9)])
    pace = replace(PACE, provider_daily_calls=4)

    assert len(claim(stage.database, pace=pace).calls) == 4
    cap(stage, PROVIDER, 6)
    assert len(claim(stage.database, pace=pace).calls) == 2
    cap(stage, PROVIDER, None, is_uncapped=True)
    assert len(claim(stage.database, pace=pace).calls) == 3


def test_a_new_day_begins_with_no_calls(stage):
    stage.keep_all([stage.new_message() for _ in range(4)])
    cap(stage, PROVIDER, 2)
    claim(stage.database)
    stage.execute("UPDATE daily_calls SET day = day - 1")

    assert len(claim(stage.database).calls) == 2
    assert counted(stage) == {PROVIDER: 2, "*": 2}


def test_a_clock_that_stepped_back_over_midnight_opens_no_second_day(stage):
    stage.keep()
    cap(stage, PROVIDER, 5)
    stage.execute("UPDATE daily_calls SET day = day + 1, calls = 5")

    assert claim(stage.database, pace=replace(PACE, daily_calls=6)).calls == []


def test_what_meets_a_cap_waits_for_midnight_or_is_blocked_with_a_callback(stage):
    stage.endpoint()
    short, long = stage.keep(ttl_s=600), stage.keep(ttl_s=600)
    other = stage.keep(provider_id="prov_1")
    in_tomorrow(stage, long)
    stage.execute("UPDATE messages SET deadline = now() + interval '1 s' WHERE id = :id", id=short)
    cap(stage, PROVIDER, 0)

    stage.sweep()

    waits = stage.message(long)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert (stage.state(short), len(stage.callbacks(short))) == (("blocked", "daily_cap"), 1)
    assert (waits.status, waits.reason, waits.due_at) == ("queued", "daily_cap", midnight)
    assert stage.state(other) == ("queued", None)


def test_a_doubtful_call_is_not_ended_by_a_cap_as_if_it_had_never_been(stage):
    id_ = stage.keep(redial_unknown=True, max_attempts=2)
    claim(stage.database)
    stage.execute("UPDATE dial_attempts SET disposition = 'unknown'")
    stage.execute("UPDATE messages SET status = 'queued', due_at = now(), deadline = now() + interval '1 s'")
    cap(stage, PROVIDER, 1)

    stage.sweep()

    assert stage.state(id_) == ("undetermined", "never_confirmed")


def test_with_the_days_calls_used_up_every_provider_waits(stage):
    ids = stage.keep_all([stage.new_message(provider_id=name) for name in (PROVIDER, "prov_1")])
    for id_ in ids:
        in_tomorrow(stage, id_)
    claim(stage.database, pace=replace(PACE, daily_calls=0))  # a row for each to be counted in
    full = stage.new_services(daily_calls=0)

    stage.services, services = full, stage.services
    stage.sweep()
    stage.services = services

    assert {stage.state(id_) for id_ in ids} == {("queued", "daily_cap")}


def test_the_vitals_sound_an_alarm_at_four_fifths_of_a_cap_and_when_it_is_used_up(stage):
    for name, calls in ((PROVIDER, 79), ("prov_1", 80), ('prov_"2', 100)):
        cap(stage, name, 100)
        stage.execute("UPDATE daily_calls SET calls = :calls WHERE name = :name", calls=calls, name=name)
    stage.database.run(lambda c: stops.stop(c, Stop(Scope.COUNTRY, "TD"), reason="fraud", by="tests"))
    caps = {"daily_calls": 259, "provider_daily_calls": 100}
    stage.execute("UPDATE daily_calls SET calls = 259 WHERE name = '*'")

    found = vitals.gather(stage.database, stage.services.broker.client, stage.settings.spool_dir, caps)

    told = "\n".join(sentence for _, sentence in ringing(found))
    assert found["daily_cap_share"] == {"*": 1.0, 'prov_"2': 1.0, "prov_1": 0.8, "test": 0.79}
    assert "provider prov_1 made 80% of the calls of a day" in told
    assert "all providers together made 100% of the calls of a day" in told
    assert "provider test" not in told
    assert "calls are stopped: country TD" in told
    shown = exposition(found)[0].decode()
    assert 'ringpost_stops{what="country TD"} 1.0\n' in shown
    assert 'ringpost_daily_calls{provider="prov_\\"2"} 100.0\n' in shown
