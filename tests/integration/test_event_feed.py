"""GET /v1/events: what callbacks tell, in order and without gaps, now or as soon as there is something."""

import asyncio
import json
import random
import threading
import time
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from ingress import feeds
from ingress.server import Server
from shared import callback
from shared.db.prepared import plan_each_time
from shared.db.queries import callbacks, feed, moves
from shared.lifecycle import Event, Mode, Move
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged

NOBODY = callbacks.Shares(wanted=256, endpoint=64, failing=32, failing_endpoint=2)


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
def customer(stage):
    return Customer(stage.services.database)


def sandbox(stage, customer):
    """A test key of the customer's provider."""
    other = Customer(stage.services.database)
    stage.rows(
        "UPDATE api_keys SET provider_id = :provider, mode = :mode WHERE key_id = :key RETURNING 1",
        provider=customer.provider_id,
        mode=Mode.TEST,
        key=other.key_id,
    )
    return other


def submit(stage, customer, count=1, **changes):
    calls = {"calls": [call(**changes) for _ in range(count)]}
    reply = stage.http.post("/api/make-calls", json=calls, headers=customer.headers)
    return [one["id"] for one in reply.get_json()["data"]]


def cancel(stage, ids):
    stage.services.database.run(lambda c: moves.apply(c, [Move(id_, Event.CANCEL_ASKED) for id_ in ids]))


def ended(stage, customer, count=1, **changes):
    """So many new events; the ids of their messages, in their order."""
    ids = submit(stage, customer, count, **changes)
    for id_ in ids:
        cancel(stage, [id_])
    return ids


def asked(stage, customer, **query):
    return stage.http.get("/v1/events", query_string=query, headers=customer.headers)


def sequences(reply):
    return [event["sequence"] for event in reply.get_json()["data"]]


def test_a_feed_without_events_is_empty_and_goes_on_where_it_was_asked(stage, customer):
    assert asked(stage, customer).get_json() == {"data": [], "next": 0, "hasMore": False, "first": 1}
    assert asked(stage, customer, after=7).get_json() == {"data": [], "next": 7, "hasMore": False, "first": 1}


def test_an_event_is_exactly_what_the_callback_carries_and_never_the_text(stage, customer):
    ended(stage, customer, message="My secret {code}", code="4711", metadata={"order": "7"})
    with stage.services.database.statement() as connection:
        claimed = callbacks.claim(connection, NOBODY, lease_s=30, busy_endpoints=[])
    (mine,) = [one for one in claimed if one.endpoint_id == customer.endpoint_id]

    reply = asked(stage, customer)

    assert reply.get_json()["data"] == [json.loads(callback.body(callback.event_of(mine)))]
    assert not any(secret in reply.text for secret in ("secret", "4711", "4, 7", "81234567"))


def test_pages_follow_the_sequence(stage, customer):
    ids = ended(stage, customer, 5)

    pages, after = [], 0
    while True:
        reply = asked(stage, customer, after=after, limit=2).get_json()
        pages.append([event["data"]["id"] for event in reply["data"]])
        after = reply["next"]
        if not reply["hasMore"]:
            break

    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert after == 5
    assert sequences(asked(stage, customer, after=3)) == [4, 5]


def test_fifty_events_are_a_page_and_two_hundred_at_most(stage, customer):
    cancel(stage, submit(stage, customer, 210))

    assert len(sequences(asked(stage, customer))) == 50
    reply = asked(stage, customer, limit=200)
    assert (sequences(reply), reply.get_json()["hasMore"]) == ([*range(1, 201)], True)


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("after=-1", "after"), ("after=x", "after"), ("after=", "after"), ("after=1&after=2", "after"),
        ("after=9223372036854775808", "after"), ("after=1.5", "after"), ("limit=0", "limit"), ("limit=201", "limit"),
        ("wait=-1", "wait"), ("wait=26", "wait"), ("wait=1s", "wait"), ("wait=%D9%A1", "wait"), ("since=1", "since"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(stage, customer, query, member):
    reply = stage.http.get(f"/v1/events?{query}", headers=customer.headers)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == [member]


def test_every_fault_of_a_query_is_named(stage, customer):
    assert members(asked(stage, customer, after="x", limit=0, wait=99)) == ["after", "limit", "wait"]


def test_the_largest_sequence_may_be_asked_for(stage, customer):
    assert asked(stage, customer, after=2**63 - 1).get_json()["data"] == []


def test_a_provider_sees_its_own_events_only(stage, customer):
    ended(stage, Customer(stage.services.database), 2)
    mine = ended(stage, customer)

    assert [event["data"]["id"] for event in asked(stage, customer).get_json()["data"]] == mine


def test_a_test_key_sees_events_of_test_messages_only_and_passes_over_the_others(stage, customer):
    key = sandbox(stage, customer)
    ended(stage, customer, 3)
    (mine,) = ended(stage, key)
    ended(stage, customer, 2)

    reply = asked(stage, key).get_json()

    assert [(event["sequence"], event["data"]["id"]) for event in reply["data"]] == [(4, mine)]
    assert reply["data"][0]["data"]["mode"] == "test"
    assert (reply["next"], reply["hasMore"]) == (6, False)
    assert sequences(asked(stage, customer)) == [1, 2, 3, 4, 5, 6]


def test_what_a_test_key_passes_over_is_bounded_and_told(stage, customer):
    key = sandbox(stage, customer)
    ended(stage, customer, 4)
    ended(stage, key, 3)

    with stage.services.database.statement() as connection:
        first = feed.page(connection, customer.provider_id, 0, 50, tests_only=True, scanned=3)
        full = feed.page(connection, customer.provider_id, 3, 1, tests_only=True)
        last = feed.page(connection, customer.provider_id, 5, 50, tests_only=True)

    assert (first.events, first.seen, first.has_more) == ([], 3, True)
    assert ([event["sequence"] for event in full.events], full.seen, full.has_more) == ([5], 5, True)
    assert ([event["sequence"] for event in last.events], last.seen, last.has_more) == ([6, 7], 7, False)


def purge(stage, customer, up_to):
    mine = {"id": customer.provider_id, "last": up_to}
    stage.rows("DELETE FROM feed_events WHERE provider_id = :id AND sequence <= :last RETURNING 1", **mine)
    stage.rows("UPDATE providers SET purged_sequence = :last WHERE provider_id = :id RETURNING 1", **mine)


def test_what_is_purged_is_told_and_never_skipped_in_silence(stage, customer):
    ended(stage, customer, 4)
    purge(stage, customer, 2)

    missed = asked(stage, customer, after=1)

    assert is_problem(missed, 410, "events_purged")
    assert members(missed) == ["after"]
    assert "after=2" in missed.get_json()["details"]
    for after in (0, 2):
        reply = asked(stage, customer, after=after)
        assert (sequences(reply), reply.get_json()["first"]) == ([3, 4], 3)
    purge(stage, customer, 4)
    assert asked(stage, customer).get_json() == {"data": [], "next": 4, "hasMore": False, "first": 5}


def test_an_event_outlives_its_message_and_says_what_it_knows(stage, customer):
    first, second = ended(stage, customer, 2)
    stage.rows("DELETE FROM messages WHERE id = :id RETURNING 1", id=first)

    gone, there = asked(stage, customer).get_json()["data"]

    assert (gone["sequence"], gone["data"]["id"], gone["data"]["status"]) == (1, first, "canceled")
    assert (gone["data"]["messageId"], gone["data"]["type"], gone["data"]["metadata"]) == (None, None, {})
    assert there["data"]["id"] == second
    assert asked(stage, sandbox(stage, customer)).get_json()["data"] == []


def test_a_reader_never_passes_over_an_event_that_is_committed_later(stage, customer):
    ids = submit(stage, customer, 120)
    luck = random.Random(7)
    luck.shuffle(ids)
    parts = [ids[start : start + 5] for start in range(0, len(ids), 5)]
    lock = threading.Lock()

    def write():
        while True:
            with lock:
                if not parts:
                    return
                part, pause_s = parts.pop(), luck.uniform(0, 0.02)
            with stage.services.database.transaction() as connection:
                moves.apply(connection, [Move(id_, Event.CANCEL_ASKED) for id_ in part])
                connection.execute(text("SELECT pg_sleep(:s)"), {"s": pause_s})  # numbered, and not yet committed

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    read, after, ends = [], 0, time.monotonic() + 60
    while len(read) < len(ids) and time.monotonic() < ends:
        page = asked(stage, customer, after=after, limit=7, wait=1).get_json()
        read += [event["sequence"] for event in page["data"]]
        after = page["next"]
    for writer in writers:
        writer.join()

    assert read == [*range(1, len(ids) + 1)]


def test_a_waiting_request_gets_the_event_when_it_comes_and_holds_no_connection_till_then(stage, customer):
    (id_,) = submit(stage, customer)
    database = stage.services.database
    held = []

    def end_it():
        watched = stage.site.feeds
        until = time.monotonic() + 10
        while customer.provider_id not in watched._waiting and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)  # a few looks later
        held.append(min(database._autocommit.pool.checkedout() + database.engine.pool.checkedout() for _ in range(50)))
        cancel(stage, [id_])

    worker = threading.Thread(target=end_it)
    worker.start()
    began = time.monotonic()
    reply = asked(stage, customer, wait=25)
    took_s = time.monotonic() - began
    worker.join()

    assert [event["data"]["id"] for event in reply.get_json()["data"]] == [id_]
    assert 0.2 < took_s < 15
    assert held == [0]


def test_when_time_is_up_the_answer_is_an_empty_page(stage, customer):
    began = time.monotonic()

    reply = asked(stage, customer, wait=1)

    assert 0.9 < time.monotonic() - began < 5
    assert reply.get_json() == {"data": [], "next": 0, "hasMore": False, "first": 1}


def test_what_is_there_is_told_at_once_however_long_one_would_wait(stage, customer):
    ended(stage, customer)
    began = time.monotonic()

    assert sequences(asked(stage, customer, wait=25)) == [1]
    assert time.monotonic() - began < 5


def test_a_test_key_waits_on_while_live_events_come(stage, customer):
    key = sandbox(stage, customer)
    live = submit(stage, customer)
    threading.Timer(0.2, cancel, (stage, live)).start()

    reply = asked(stage, key, wait=2).get_json()

    assert (reply["data"], reply["next"]) == ([], 1)


def test_a_key_that_is_revoked_while_it_waits_is_told_nothing(stage, customer):
    stage.site.providers._owners._answers.clear()
    (id_,) = submit(stage, customer)

    def revoke():
        while customer.provider_id not in stage.site.feeds._waiting:
            time.sleep(0.01)
        stage.rows("UPDATE api_keys SET revoked_at = now() WHERE key_id = :id RETURNING 1", id=customer.key_id)
        stage.site.providers._owners._answers.clear()  # its memory is 2 s long
        cancel(stage, [id_])

    worker = threading.Thread(target=revoke)
    worker.start()
    reply = asked(stage, customer, wait=20)
    worker.join()

    assert is_problem(reply, 401, "unauthorized")


def test_beyond_the_cap_of_one_provider_the_answer_comes_at_once(stage, customer):
    watched = stage.site.feeds
    waiting = [
        threading.Thread(target=asked, args=(stage, customer), kwargs={"wait": 20}) for _ in range(feeds.MOST_OF_ONE)
    ]
    for one in waiting:
        one.start()
    until = time.monotonic() + 20
    while len(watched._waiting.get(customer.provider_id, ())) < feeds.MOST_OF_ONE and time.monotonic() < until:
        time.sleep(0.01)

    began = time.monotonic()
    reply = asked(stage, customer, wait=20)
    took_s = time.monotonic() - began
    ended(stage, customer)
    for one in waiting:
        one.join()

    assert (reply.get_json()["data"], took_s < 5) == ([], True)
    assert customer.provider_id not in watched._waiting


def test_who_waits_is_let_go_when_the_process_ends():
    watched = feeds.Feeds(lambda _: {})
    told = []
    waiting = threading.Thread(target=lambda: told.append(watched.wait("prov", 0, 20)))
    waiting.start()
    while not watched._waiting:
        time.sleep(0.01)

    watched.leave()
    waiting.join(10)

    assert told == [False]
    assert watched.wait("prov", 0, 20) is False


class Protocol:
    """One request of granian's, without a body, and its answer."""

    def __init__(self):
        self.answer = None

    def response_bytes(self, status, headers, body):
        self.answer = status, json.loads(body)


def scope(path, customer, query=""):
    pairs = list(customer.headers.items())
    headers = SimpleNamespace(
        get=lambda name: next((value for key, value in pairs if key.lower() == name), None),
        items=lambda: [(key.lower(), value) for key, value in pairs],
    )
    return SimpleNamespace(
        http_version="1.1", server="127.0.0.1:5678", client="10.0.0.1:4000", scheme="http", method="GET", path=path,
        query_string=query, headers=headers,
    )  # fmt: skip


def test_many_who_wait_hold_no_thread_and_keep_nobody_else_from_an_answer(stage):
    customers = [Customer(stage.services.database) for _ in range(6)]
    messages = [submit(stage, customer)[0] for customer in customers]

    async def run():
        server = Server(stage.http.application)
        server.__rsgi_init__(asyncio.get_running_loop())
        waiting = [(customer, Protocol()) for customer in customers for _ in range(10)]  # more than there are threads
        tasks = [
            asyncio.ensure_future(server.__rsgi__(scope("/v1/events", customer, "wait=25"), protocol))
            for customer, protocol in waiting
        ]
        while sum(map(len, stage.site.feeds._waiting.values())) < len(waiting):  # noqa: ASYNC110  its thread sets none
            await asyncio.sleep(0.01)
        other = Protocol()
        await asyncio.wait_for(server.__rsgi__(scope("/v1/endpoints", customers[0]), other), 10)
        await asyncio.to_thread(cancel, stage, messages)
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        return other.answer, [protocol.answer for _, protocol in waiting]

    other, answers = asyncio.run(run())

    assert other[0] == 200
    assert {status for status, _ in answers} == {200}
    assert [[event["sequence"] for event in told["data"]] for _, told in answers] == [[1]] * len(answers)


def test_a_page_is_found_by_index_only(stage, customer):
    ended(stage, customer, 3)
    values = {"provider_id": customer.provider_id, "after": 0, "scanned": 50, "tests_only": False, "wanted": 51}
    with stage.services.database.statement() as connection:
        plan_each_time(connection)
        plan = "\n".join(connection.execute(text(f"EXPLAIN {feed._PAGE.sql[0]}"), values).scalars())

    assert "Seq Scan on feed_events" not in plan
    assert "Seq Scan on messages" not in plan
    assert "feed_events_provider_id_sequence_key" in plan
