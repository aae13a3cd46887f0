"""Limits on numbers, ranges and providers: what is refused, what never is, and what several processes know."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from sqlalchemy import text

from ingress.sharing import Sharing
from ingress.velocity import Asked, Taken, Velocity
from shared.broker import connect
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged

_numbers = itertools.count(81110000)
LIMITS = ((3, 600), (10, 86400))
NOON = 1_800_000_000.0


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with staged(database_url, redis_url, folder, number_limits="3/600,10/86400", prefix_per_hour=40) as stage:
        yield stage


@pytest.fixture
def number():
    """One that nobody called, in a range that nobody called."""
    return f"+65{next(_numbers) + 10_000 * next(_numbers) % 9_000_000}"


@pytest.fixture(autouse=True)
def _another_provider(stage):
    """Counts are each provider's own."""
    stage.customer = Customer(stage.services.database)


def test_the_fourth_message_to_a_number_is_refused_and_nothing_of_it_is_stored(stage, number):
    replies = [stage.make_call(call(customerPhone=number)) for _ in range(3)]
    before = stage.count("messages")

    refused = stage.make_call(call(customerPhone=number))

    assert [one.status_code for one in replies] == [200, 200, 200]
    assert is_problem(refused, 429, "number_limit")
    assert members(refused) == ["customerPhone"]
    assert 500 <= int(refused.headers["Retry-After"]) <= 600
    assert "3 messages in 10 minutes" in refused.get_json()["details"]
    assert number not in refused.text
    assert stage.count("messages") == before


def test_a_repeat_is_neither_counted_nor_refused(stage, number):
    bodies = [call(customerPhone=number) for _ in range(3)]
    for body in bodies:
        for _ in range(5):
            assert stage.make_call(body).status_code == 200

    assert is_problem(stage.make_call(call(customerPhone=number)), 429, "number_limit")
    for body in bodies:
        reply = stage.make_call(body)
        assert (reply.status_code, reply.headers["Idempotency-Replayed"]) == (200, "true")


def test_a_batch_is_judged_item_by_item(stage, number):
    calls = [call(customerPhone=number) for _ in range(5)] + [call(customerPhone="+6591110001")]

    body = stage.make_calls(*calls).get_json()

    codes = [one["error"]["code"] if "error" in one else None for one in body["data"]]
    assert codes == [None, None, None, "number_limit", "number_limit", None]
    assert (body["accepted"], body["rejected"]) == (4, 2)


def test_one_number_asked_for_fifty_times_at_once_passes_three_times(stage, number):
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(stage.make_call, [call(customerPhone=number) for _ in range(50)]))

    assert sorted({reply.status_code for reply in replies}) == [200, 429]
    assert sum(reply.status_code == 200 for reply in replies) == 3


def test_a_range_has_a_limit_of_its_own(stage):
    replies = [stage.make_call(call(customerPhone=f"+65822200{n:02}")) for n in range(41)]

    assert {one.status_code for one in replies[:40]} == {200}
    assert is_problem(replies[40], 429, "prefix_limit")
    assert stage.make_call(call(customerPhone="+6582230001")).status_code == 200


def test_a_providers_own_rules_go_before_the_settings(stage, number):
    rules = "UPDATE providers SET number_limits = '1/60', messages_per_minute = 2 WHERE provider_id = :id"
    with stage.services.database.transaction() as connection:
        connection.execute(text(rules), {"id": stage.customer.provider_id})

    replies = [stage.make_call(call(customerPhone=to)) for to in (number, number, "+6581110001", "+6581110002")]

    assert [one.status_code for one in replies] == [200, 429, 200, 429]
    assert is_problem(replies[1], 429, "number_limit")
    assert is_problem(replies[3], 429, "provider_limit")
    assert 1 <= int(replies[3].headers["Retry-After"]) <= 120


def test_redis_holds_no_number_and_no_end_of_one(stage, number):
    stage.make_call(call(customerPhone=number))
    stage.site.guards.sharing.tell()

    with redis.Redis.from_url(stage.services.settings.redis_url) as client:
        kept = {key: client.get(key) for key in client.scan_iter("ringpost:velocity:*")}
    text_ = repr(kept)
    assert kept
    assert all(client.ttl(key) > 0 for key in kept)
    assert number[1:] not in text_
    assert number[3:] not in text_


# Several processes


@pytest.fixture
def processes(redis_url):
    """Four of them, that tell each other when the test says so."""
    shares = []
    for _ in range(4):
        share = Sharing(Velocity(), connect(redis_url, timeout_s=1))
        share.close()
        shares.append(share)
    return shares


def let_in(shares, at, number, rounds, *, telling=True):
    passed = 0
    for _ in range(rounds):
        for share in shares:
            taken = share._velocity.take(Asked(number, "prov:range", "prov", LIMITS, 0, 0), at)
            if isinstance(taken, Taken):
                share._velocity.keep(taken)
                passed += 1
            at += 0.5
            if telling:
                for other in shares:
                    other.tell()
    return passed


def test_several_processes_together_exceed_a_numbers_limit_by_one_message_each_at_most(processes):
    assert let_in(processes, NOON, b"spread", 10) <= 3 + len(processes) - 1


def test_what_comes_before_they_could_tell_each_other_is_bounded_by_the_limit_of_each(processes):
    assert let_in(processes, NOON, b"at once", 10, telling=False) == 3 * len(processes)


def test_a_process_that_starts_learns_from_the_first_message_to_a_number(processes):
    old, new, *_ = processes
    let_in([old], NOON, b"restart", 5)

    assert let_in([new], NOON + 1, b"restart", 5) == 1


def test_without_redis_each_process_counts_for_itself_and_tells_it_when_redis_is_back(processes, redis_url):
    first, second, *_ = processes
    here, first._tell.registered_client = first._tell.registered_client, connect("redis://127.0.0.1:1", timeout_s=0.1)
    assert let_in([first], NOON, b"away", 5) == 3

    first._tell.registered_client = here
    first.tell()

    assert let_in([second], NOON + 5, b"away", 5) == 1


def test_redis_that_lost_everything_takes_nothing_from_what_a_process_knows(processes, redis_url):
    share = processes[0]
    let_in([share], NOON, b"wiped", 2)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    assert let_in([share], NOON + 5, b"wiped", 5) == 1


def test_counts_are_shared_too(processes):
    first, second, *_ = processes
    one = Asked(b"n", "prov:shared", "prov-shared", (), 100, 50)
    for share, count in ((first, 30), (second, 20)):
        for _ in range(count):
            share._velocity.keep(share._velocity.take(one, NOON))
        share.tell()
    first._velocity.keep(first._velocity.take(one, NOON))
    first.tell()

    assert not isinstance(first._velocity.take(one, NOON), Taken)
