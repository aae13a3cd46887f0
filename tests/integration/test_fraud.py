"""Outcomes, how calls end where, and quarantine: from the door to every process and back by an operator's word."""

import json

import pytest

from ingress.exposition import exposition
from ingress.suspects import Suspects
from ingress.watch import Seen, Watch
from shared import vitals
from shared.alarms import ringing
from shared.db.queries import ends, quarantines
from shared.ids import new_id
from shared.lifecycle import FINALS, Status
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged

RANGE = "+656221"


@pytest.fixture(scope="module")
def the_door(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
def door(the_door, database):
    """The door, for a provider that sent nothing yet."""
    the_door.customer = Customer(the_door.services.database)
    return the_door


def ended(door, count, *, heard, prefix=RANGE, ago="0 s", country="SG"):
    """Messages whose calls have ended; their ids, as the watch has them."""
    bodies = [call(customerPhone=f"{prefix}{n:04}") for n in range(count)]
    ids = [one["id"] for one in door.make_calls(*bodies).get_json()["data"]]
    execute(
        door,
        "UPDATE messages SET attempt = 1, finished_at = now() - CAST(:ago AS interval), due_at = NULL, content = NULL,"
        " status = CASE WHEN id = ANY (:heard) THEN 'delivered' ELSE 'no_answer' END, country = :country"
        " WHERE id = ANY (:ids)",
        ids=ids, heard=ids[: round(heard * count)], ago=ago, country=country,
    )  # fmt: skip
    return ids


def execute(door, statement, **values):
    return door.services.database.run(lambda c: c.execute(ends.text(statement), values))


def outcome(door, id_, body):
    return door.http.post(f"/v1/messages/{id_}/outcome", json=body, headers=door.customer.headers)


# Outcomes


def test_an_outcome_is_kept_once_and_the_last_word_counts(door):
    (id_,) = ended(door, 1, heard=1)

    first, again = (outcome(door, id_, {"verified": False}) for _ in range(2))
    last = outcome(door, id_, {"verified": True})

    assert [one.status_code for one in (first, again, last)] == [200] * 3
    assert first.get_json() == again.get_json()
    assert first.get_json()["id"] == id_
    assert (first.get_json()["verified"], last.get_json()["verified"]) == (False, True)
    assert [tuple(one) for one in door.rows("SELECT message_id, verified FROM outcomes")] == [(id_, True)]


@pytest.mark.parametrize("status", Status)
def test_an_outcome_is_taken_of_what_was_answered_or_is_final(door, status):
    id_ = door.make_call(call()).get_json()["data"]["id"]
    final = status in FINALS
    execute(
        door,
        "UPDATE messages SET status = :status, finished_at = CASE WHEN :final THEN now() END,"
        " due_at = CASE WHEN NOT :final THEN now() END, content = CASE WHEN NOT :final THEN content END WHERE id = :id",
        status=status, final=final, id=id_,
    )  # fmt: skip

    reply = outcome(door, id_, {"verified": True})

    if final or status is Status.ANSWERED:
        assert reply.status_code == 200
    else:
        assert is_problem(reply, 409, "not_reportable")
        assert status in reply.get_json()["details"]


def test_an_outcome_of_anothers_message_is_no_such_message(door):
    (id_,) = ended(door, 1, heard=1)
    door.customer = Customer(door.services.database)

    for asked in (id_, new_id("msg"), "x"):
        assert is_problem(outcome(door, asked, {"verified": True}), 404, "not_found")
    assert door.count("outcomes") == 0


@pytest.mark.parametrize(("body", "named"), [
    ({}, ["verified"]), ({"verified": 1}, ["verified"]), ({"verified": True, "code": "1"}, ["code"]), ([], [""]),
])  # fmt: skip
def test_what_is_wrong_with_an_outcome_is_named(door, body, named):
    assert members(outcome(door, new_id("msg"), body)) == named


# How calls end


def finals(door, ids, *, ago="20 s"):
    """The feed events of these messages."""
    for id_ in ids:
        execute(
            door,
            "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts, occurred_at)"
            " SELECT :event, provider_id, (SELECT count(*) FROM feed_events), id, 'message.' || status, status, '{}',"
            " now() - CAST(:ago AS interval) FROM messages WHERE id = :id",
            event=new_id("evt"), id=id_, ago=ago,
        )  # fmt: skip


def counted(door):
    rows = door.rows("SELECT country, sum(rang), sum(heard), sum(reported), sum(verified) FROM hourly_ends GROUP BY 1")
    return {row[0]: tuple(map(int, row[1:])) for row in rows}


def test_ends_and_outcomes_are_counted_once_by_country(door):
    at_home, abroad = ended(door, 10, heard=0.7), ended(door, 4, heard=0.5, prefix="+656222", country="MY")
    finals(door, at_home + abroad)
    for id_ in at_home[:5]:
        outcome(door, id_, {"verified": id_ != at_home[0]})
    execute(door, "UPDATE outcomes SET reported_at = now() - interval '20 s'")

    for _ in range(3):
        door.services.database.run(ends.tally)

    assert counted(door) == {"SG": (10, 7, 5, 4), "MY": (4, 2, 0, 0)}
    finals(door, ended(door, 2, heard=1, prefix="+656223"), ago="5 s")
    door.services.database.run(ends.tally)
    assert counted(door)["SG"] == (10, 7, 5, 4)


def test_a_message_that_was_canceled_or_blocked_tells_nothing_of_a_country(door):
    ids = ended(door, 3, heard=0)
    execute(door, "UPDATE messages SET status = 'canceled', reason = 'canceled_by_sender' WHERE id = :id", id=ids[0])
    execute(door, "UPDATE messages SET status = 'blocked', reason = 'suppressed' WHERE id = :id", id=ids[1])
    finals(door, ids)

    door.services.database.run(ends.tally)

    assert counted(door) == {"SG": (1, 0, 0, 0)}


def hour(door, country, ago, *, rang, heard, verified=0):
    execute(
        door,
        "INSERT INTO hourly_ends (provider_id, country, hour, rang, heard, reported, verified) VALUES"
        " (:id, :country, date_trunc('hour', now()) - CAST(:ago AS interval), :rang, :heard, :verified, :verified)",
        id=door.customer.provider_id, country=country, ago=ago, rang=rang, heard=heard, verified=verified,
    )  # fmt: skip


def test_a_share_that_falls_is_an_alarm_with_names(door):
    for country, now in (("SG", 60), ("MY", 10), ("TH", 59)):
        hour(door, country, "3 days", rang=1000, heard=620, verified=400)
        hour(door, country, "0 s", rang=100, heard=now, verified=2 if country == "TH" else now * 2 // 3)
    hour(door, "US", "0 s", rang=100, heard=0)  # nothing is known of it yet
    name = door.customer.provider_id

    found = vitals.gather(door.services.database, door.services.broker.client, door.services.settings.spool_dir)

    assert found["fallen_heard_share"] == {f"{name} MY": 0.1}
    assert found["fallen_used_share"] == {f"{name} TH": pytest.approx(2 / 59)}
    told = dict(ringing(found))["share_fallen"]
    assert f"{name}: of 100 calls to MY 10% were heard lately, usually 62%" in told
    assert f"{name}: of 59 codes to TH 3% were used lately, usually 65%" in told
    assert f'ringpost_fallen_heard_share{{where="{name} MY"}} 0.1' in exposition(found)[0].decode()


# Quarantine


def suspects(door, ids, *, prefix=RANGE, mode="usual"):
    """One process that saw these messages come in sequence."""
    key = door.services.sealer.destination_key(prefix + "****")
    seen = Watch()
    now = door.site.forecast.now()
    for n, id_ in enumerate(ids):
        seen.saw(Seen(now, id_, door.customer.provider_id, key, prefix + "****", n, "SG", mode))
    return Suspects(door.services.database, seen, for_s=3600), now


def hurried(door, wanted):
    """The door has read what is in quarantine now."""
    door.site.guards.quarantined.hurry()
    while bool(door.site.guards.quarantined.value) != wanted:
        pass


def test_a_range_called_in_sequence_whose_calls_nobody_answers_is_refused_until_it_is_released(door, ringpost):
    looks, now = suspects(door, ended(door, 60, heard=0.05))

    found = looks.look(now)
    hurried(door, wanted=True)
    refused = door.make_call(call(customerPhone=f"{RANGE}9999"))

    assert len(found) == 1
    assert is_problem(refused, 403, "prefix_quarantined")
    assert members(refused) == ["customerPhone"]
    assert "heard" not in refused.text  # why is the operators' to know
    assert door.make_call(call(customerPhone="+6581234567")).status_code == 200
    (listed,) = json.loads(ringpost("quarantines", "list", "--json").stdout)
    assert (listed["prefixMasked"], listed["country"]) == (f"{RANGE}****", "SG")
    assert listed["why"].startswith("53 numbers in sequence, 60 messages; of 53 calls 0 were heard")
    figures = vitals.gather(door.services.database, door.services.broker.client, door.services.settings.spool_dir)
    assert "1 ranges of numbers are in quarantine" in dict(ringing(figures))["range_quarantined"]

    released = ringpost("quarantines", "release", found[0])
    hurried(door, wanted=False)

    assert released.exit_code == 0
    assert ringpost("quarantines", "release", found[0]).exit_code == 1
    assert door.make_call(call(customerPhone=f"{RANGE}9999")).status_code == 200
    assert json.loads(ringpost("quarantines", "list", "--json").stdout) == []
    assert "in sequence" in ringpost("quarantines", "list", "--past").stdout
    (noted,) = door.rows("SELECT target, before FROM audit_log WHERE action = 'quarantine.release'")
    assert (noted.target, noted.before["range"]) == (found[0], f"{RANGE}****")


def test_another_providers_range_is_not_refused_nor_is_a_repeat_of_what_was_taken(door):
    body = call(customerPhone=f"{RANGE}7777")
    door.make_call(body)
    looks, now = suspects(door, ended(door, 60, heard=0))
    looks.look(now)
    hurried(door, wanted=True)

    assert door.make_call(body).headers["Idempotency-Replayed"] == "true"
    door.customer = Customer(door.services.database)
    assert door.make_call(call(customerPhone=f"{RANGE}7778")).status_code == 200


@pytest.mark.parametrize(("heard", "mode", "quarantined"), [(1, "usual", 0), (1, "strict", 1), (0, "off", 0)])
def test_a_sequence_whose_calls_are_heard_needs_an_operators_word(door, heard, mode, quarantined):
    looks, now = suspects(door, ended(door, 60, heard=heard), mode=mode)

    assert len(looks.look(now)) == quarantined


def test_codes_that_are_never_used_tell_of_fraud_though_every_call_is_answered(door):
    hour(door, "SG", "3 days", rang=1000, heard=620, verified=400)
    looks, now = suspects(door, ended(door, 60, heard=1, ago="5 minutes"))

    assert len(looks.look(now)) == 1
    (row,) = door.rows("SELECT why FROM quarantines")
    assert "codes that were heard 0 were used, elsewhere 65%" in row.why


def test_what_was_released_is_trusted_for_a_day_and_what_ran_out_may_come_again(door):
    ids = ended(door, 60, heard=0)
    looks, now = suspects(door, ids)
    looks.look(now)
    again, now = suspects(door, ids)
    assert again.look(now) == []
    execute(door, "UPDATE quarantines SET until = now() - interval '1 s'")
    assert door.services.database.run(quarantines.open_ranges) == frozenset()
    once_more, now = suspects(door, ids)
    (id_,) = once_more.look(now)

    door.services.database.run(lambda c: quarantines.release(c, id_))
    trusted, now = suspects(door, ids)

    assert trusted.look(now) == []


def test_the_door_watches_what_it_takes(door, caplog):
    ended(door, 30, heard=0, prefix="+656229")

    seen = door.site.guards.guard._watch.candidates(door.site.forecast.now())

    (one,) = [one for one in seen if one.seen.provider_id == door.customer.provider_id]
    assert (one.seen.shown, one.messages, len(one.ids)) == ("+656229****", 30, 23)
    assert door.count("quarantines") == 0
