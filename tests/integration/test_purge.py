"""What is older than RETENTION_DAYS is counted once, deleted whole, and never rings again."""

import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from deploy.bench import bulk
from shared.db import conservation, story
from shared.db.queries import accept, claim, moves, purge
from shared.lifecycle import Event, Lane, Move
from shared.pacing import Pace
from tests.integration.worker_stage import PROVIDER, staged
from workers.purge import purge_once

#: A million for the figures.
MANY = int(os.environ.get("RINGPOST_PURGED", "400"))
CLAIMS = 5 if MANY < 100_000 else 200
PACE = Pace("test_voice", dials_per_second=1000, max_in_flight=5000, lease_s=30, ring_s=60)
PARTS = (
    "messages",
    "dial_attempts",
    "callbacks",
    "log_lookups",
    "outcomes",
    "feed_events",
)


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.execute("TRUNCATE past_messages, daily_totals")
        yield stage


def age(stage, *ids, days=91):
    """As if these, or all, had happened so long ago."""
    known, past = list(ids), f"- interval '{days} days'"
    stage.execute(
        f"UPDATE messages SET created_at = created_at {past}, finished_at = finished_at {past}"
        " WHERE :all OR id = ANY (:ids)",
        all=not known,
        ids=known,
    )
    stage.execute(
        f"UPDATE feed_events SET occurred_at = occurred_at {past} WHERE :all OR message_id = ANY (:ids)",
        all=not known,
        ids=known,
    )


def finish(stage, ids):
    for id_ in ids:
        stage.place(id_)
        stage.keep_webhook(stage.summary(id_))
    stage.reconcile()
    stage.execute("INSERT INTO delivery_attempts (callback_id, number) SELECT callback_id, 1 FROM callbacks")
    stage.execute("INSERT INTO log_lookups SELECT attempt_id, 1, 'absent', now() FROM dial_attempts")
    stage.execute(
        "INSERT INTO outcomes (message_id, provider_id, country, verified)"
        " SELECT id, provider_id, country, true FROM messages WHERE id = ANY (:ids)",
        ids=ids,
    )
    stage.execute("UPDATE callbacks SET state = 'done', due_at = NULL, finished_at = now()")


def done(stage, count=3, **members):
    """Messages that came to their end, with everything that belongs to them."""
    ids = stage.keep_all([stage.new_message(f"+65812{26_000 + place}", **members) for place in range(count)])
    finish(stage, ids)
    return ids


def purged(stage):
    """Bury, let the graves grow old, delete."""
    first = purge_once(stage.services, rest=0)
    stage.execute("UPDATE past_messages SET buried_at = buried_at - interval '11 seconds'")
    second = purge_once(stage.services, rest=0)
    return {name: first[name] + second[name] for name in first}


def counts(stage):
    return {table: stage.execute(f"SELECT count(*) FROM {table}")[0].count for table in PARTS}


def audit(stage):
    return [one.kind for one in stage.database.run(lambda c: conservation.findings(c, 300))]


def totals(stage):
    return stage.execute("SELECT country, lane, status, reason, messages, attempts, talk_seconds FROM daily_totals")


def test_what_is_old_is_counted_and_gone_with_all_its_parts(stage):
    stage.endpoint()
    done(stage)
    before = counts(stage)
    age(stage)

    told = purged(stage)

    assert all(before.values()), before
    assert set(counts(stage).values()) == {0}
    assert (told["buried"], told["messages"], told["events"]) == (3, 3, 3)
    assert totals(stage) == [("SG", "otp", "delivered", "", 3, 3, 78)]
    assert audit(stage) == []


def test_what_is_young_open_or_not_called_back_stays(stage):
    stage.endpoint()
    young, untold = done(stage, 2)
    waiting = stage.keep()
    stage.execute("UPDATE messages SET created_at = now() - interval '91 days' WHERE id = :id", id=waiting)
    age(stage, untold)
    stage.execute(
        "UPDATE callbacks SET state = 'due', due_at = now(), finished_at = NULL WHERE message_id = :id", id=untold
    )
    age(stage, young, days=89)

    told = purged(stage)

    assert told["messages"] == 0
    assert {row.id for row in stage.execute("SELECT id FROM messages")} == {young, untold, waiting}


def test_a_repetition_after_the_purge_gets_the_end_of_the_first_and_never_rings(stage):
    first = stage.new_message("+6581226000", message_id="OTP1")
    stage.keep_all([first])
    finish(stage, [first.id])
    age(stage)
    purge_once(stage.services, rest=0)
    again = replace(first, id="msg_again", content=first.content)
    buried = stage.database.run(lambda c: accept.store(c, [again]))
    purged(stage)

    [known] = stage.database.run(lambda c: accept.store(c, [again]))
    other = stage.database.run(lambda c: accept.store(c, [replace(again, fingerprint=b"other" * 3)]))
    refused = stage.database.run(lambda c: accept.earlier(c, PROVIDER, ["OTP1"]))

    assert [one.id for one in buried] == [first.id]
    assert (known.id, known.status, known.is_new, known.fingerprint) == (
        first.id,
        "delivered",
        False,
        first.fingerprint,
    )
    assert other[0].fingerprint == first.fingerprint  # so the step refuses it as reused
    assert refused["OTP1"].id == first.id
    assert counts(stage)["messages"] == 0


def test_another_providers_message_of_that_name_is_taken(stage):
    first = stage.new_message("+6581226000", message_id="OTP1")
    stage.keep_all([first])
    finish(stage, [first.id])
    age(stage)
    purged(stage)

    [taken] = stage.database.run(lambda c: accept.store(c, [replace(first, id="msg_b", provider_id="prov_other")]))

    assert taken.is_new


def test_several_purges_at_once_count_each_message_once(stage):
    stage.endpoint()
    done(stage, 60)
    age(stage)
    purge_once(stage.services, rest=0)
    stage.execute("UPDATE past_messages SET buried_at = buried_at - interval '11 seconds'")
    delete = lambda _: stage.database.run(lambda c: purge.delete(c, page=7), alone=True)  # noqa: E731

    with ThreadPoolExecutor(4) as pool:
        deleted = sum(pool.map(delete, range(40)))

    assert deleted == 60
    assert sum(row.messages for row in totals(stage)) == 60
    assert counts(stage)["messages"] == 0


def test_a_grave_is_older_than_any_statement_before_its_message_goes(stage):
    done(stage)
    age(stage)

    told = purge_once(stage.services, rest=0)

    assert (told["buried"], told["messages"]) == (3, 0)
    assert counts(stage)["messages"] == 3


@pytest.mark.parametrize("seed", range(3))
def test_the_feed_stays_without_gaps_however_messages_interleave(stage, seed):
    luck = random.Random(seed)
    stage.endpoint()
    ids = done(stage, 12)
    # Corrections make messages speak twice, far apart.
    for id_ in luck.sample(ids, 4):
        stage.execute("UPDATE messages SET status = 'undetermined', reason = 'no_summary' WHERE id = :id", id=id_)
        stage.execute(
            "UPDATE feed_events SET status = 'undetermined', type = 'message.undetermined' WHERE message_id = :id",
            id=id_,
        )
        stage.database.run(lambda c, id_=id_: moves.apply(c, [Move(id_, Event.SESSION_COMPLETED)]))
    stage.execute("UPDATE callbacks SET state = 'done', due_at = NULL, finished_at = now()")
    found = []
    while ids:
        gone = luck.sample(ids, min(4, len(ids)))
        ids = [id_ for id_ in ids if id_ not in gone]
        age(stage, *gone)
        purged(stage)
        found += audit(stage)

    assert found == []
    assert counts(stage)["feed_events"] == 0
    assert stage.execute("SELECT purged_sequence = last_sequence AS all FROM providers")[0].all


def test_parked_webhooks_are_forgotten_in_the_end(stage):
    stage.execute(
        "INSERT INTO webhook_inbox (dedupe_key, body, processed_at, result) VALUES"
        " ('old', '', now() - interval '91 days', 'parked'), ('new', '', now() - interval '9 days', 'parked')"
    )

    assert purged(stage)["webhooks"] == 1
    assert [row.dedupe_key for row in stage.execute("SELECT dedupe_key FROM webhook_inbox")] == ["new"]


@pytest.mark.parametrize(("minutes", "left"), [(59, True), (61, False)])
def test_a_text_is_kept_an_hour_beyond_its_deadline_at_most_however_long_the_call(stage, minutes, left):
    id_ = stage.keep()
    stage.place(id_)
    past = f"deadline = now() - interval '{minutes} minutes', due_at = now() + interval '1 day'"
    stage.execute(f"UPDATE messages SET {past} WHERE id = :id", id=id_)

    purge_once(stage.services, rest=0)
    has_text = bool(stage.message(id_).content)
    stage.keep_webhook(stage.summary(id_))
    stage.reconcile()

    assert has_text == left
    assert stage.state(id_) == ("delivered", None)
    assert stage.message(id_).content is None


def test_nobody_finds_a_purged_message_by_its_id(stage):
    ids = done(stage, 1)
    age(stage)
    purged(stage)

    assert stage.database.run(lambda c: story.of_anyone(c, ids[0])) == []


def claims(stage, count):
    """Milliseconds of so many claims of 64, each given back."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        stage.database.run(lambda c: claim.claim(c, PACE, Lane.OTP, wanted=64, claim_id="c"), alone=True)
        took.append(1000 * (time.monotonic() - began))
        stage.execute(
            "UPDATE messages SET status = 'queued', due_at = now(), busy_until = NULL WHERE status = 'dialing'"
        )
        stage.execute("UPDATE subaccounts SET tokens = 1000")
    return sorted(took)


def test_many_are_purged_beside_the_claim(stage):
    """RINGPOST_PURGED=1000000 for the figures: rows a second, and what a claim takes meanwhile."""
    for first in range(1, MANY + 1, 5000):
        last = min(MANY, first + 4999)
        stage.database.run(lambda c, first=first, last=last: bulk.fill_finished(c, PROVIDER, first, last))
    stage.database.run(lambda c: bulk.fill_waiting(c, PROVIDER, "otp", 1, 200))
    services = stage.new_services(retention_days=0)
    alone = claims(stage, CLAIMS)
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        purging = pool.submit(purge_once, services)
        meanwhile = claims(stage, CLAIMS)
        done = [purging.result()]
        took_s = time.monotonic() - began
    # So many take longer than a grave has to lie, so that most of them went at once.
    stage.execute("UPDATE past_messages SET buried_at = now() - interval '11 seconds' WHERE buried_at IS NOT NULL")
    done.append(purge_once(services))
    buried, deleted = (sum(one[part] for one in done) for part in ("buried", "messages"))
    sys.stdout.write(
        f"{buried} buried and {done[0]['messages']} of them deleted in {took_s:.0f} s, {buried / took_s:.0f}/s;"
        f" a claim of 64 took {alone[len(alone) // 2]:.1f} ms alone, {meanwhile[len(meanwhile) // 2]:.1f} beside it"
        f" (longest {alone[-1]:.1f}, {meanwhile[-1]:.1f})\n"
    )

    assert buried == deleted == MANY
    assert sum(row.messages for row in totals(stage)) == MANY
    assert stage.execute("SELECT count(*) FROM past_messages WHERE buried_at IS NULL")[0].count == MANY
