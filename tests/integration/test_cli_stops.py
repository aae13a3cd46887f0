"""Stops and caps from the command line: first what they would cost, then the switch, and always who threw it."""

import getpass
import json

import pytest
from sqlalchemy import text

from deploy.commands import stops as commands
from shared.db import stop_preview
from shared.db.queries import stops
from shared.sealing import Sealer


def execute(database, statement, **values):
    with database.transaction() as connection:
        result = connection.execute(text(statement), values)
        return result.all() if result.returns_rows else result.rowcount


def audited(database):
    return execute(database, "SELECT actor, action, target, before, after FROM audit_log ORDER BY audit_id")


@pytest.fixture
def last_day(database, accepted):
    """Of the last day: three messages to Singapore, two delivered; one to Chad, not answered; two more wait."""
    ids = accepted("A", "B", "C") + accepted("D", country="TD", destination_masked="+235****0001")
    execute(
        database,
        "UPDATE messages SET status = CASE WHEN message_id < 'C' THEN 'delivered' ELSE 'no_answer' END,"
        " finished_at = now(), due_at = NULL, content = NULL",
    )
    execute(
        database,
        "INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key,"
        " valid_until, disposition, session_id) SELECT 'att_' || n || id, id, n, 'c', 's', source, destination_key,"
        " now(), 'created', n || id FROM messages, generate_series(1, 2) n",
    )
    return ids + accepted("E", "F")


def throw(ringpost, *arguments):
    return ringpost("stop", *arguments, "--reason", "fraud", "--yes")


@pytest.mark.usefixtures("last_day")
@pytest.mark.parametrize(
    ("scope", "messages", "share", "waiting"),
    [
        (["global"], 6, 0.5, 2),
        (["country", "td"], 1, 0.0, 0),
        (["country", "SG"], 5, 0.667, 2),
        (["provider", "bank"], 6, 0.5, 2),
        (["lane", "alert"], 0, None, 0),
        (["source", "+6531580001"], 6, 0.5, 2),
        (["prefix", "+2350"], 1, 0.0, 0),
    ],
    ids=str,
)
def test_before_a_stop_its_cost_is_shown_and_nothing_is_stopped(ringpost, database, scope, messages, share, waiting):
    result = ringpost("stop", *scope, "--preview", "--json")

    told = json.loads(result.stdout)
    total = told["lastDayTotal"]
    calls = 2 * (messages - waiting)
    assert (total["messages"], total["calls"], total["deliveredShare"]) == (messages, calls, share)
    assert (told["waiting"], told["stopped"], told["isAtMost"]) == (waiting, False, scope[0] == "prefix")
    assert json.loads(ringpost("stops", "list", "--json").stdout) == []
    assert [row for row in audited(database) if row.action == "stop"] == []


def test_of_a_prefix_what_waits_is_counted_by_the_numbers_themselves(ringpost, database, accepted, settings):
    sealer = Sealer(settings.ringpost_data_key.get_secret_value())
    for name, number in (("A", "+23570120001"), ("B", "+23570130001")):
        (id_,) = accepted(name, country="TD", destination_masked="+235****0001")
        content = sealer.seal(json.dumps({"destination": number, "text": "x"}).encode(), row=id_)
        execute(database, "UPDATE messages SET content = :content WHERE id = :id", content=content, id=id_)

    told = json.loads(ringpost("stop", "prefix", "+235 7012", "--preview", "--json").stdout)

    assert (told["name"], told["waiting"]) == ("+2357012", 1)


@pytest.mark.usefixtures("last_day")
def test_people_see_the_cost_by_provider_and_country_and_are_asked(ringpost, database):
    refused = ringpost("stop", "country", "SG", "--reason", "fraud", answer="n\n")
    before = json.loads(ringpost("stops", "list", "--json").stdout)
    agreed = ringpost(
        "stop", "country", "SG", "--reason", "fraud", "--for", "2h", "--actor", "night shift", answer="y\n"
    )

    assert (refused.exit_code, before) == (1, [])
    assert "bank" in agreed.stdout
    assert "66.7%" in agreed.stdout
    assert "waiting now: 2 messages" in agreed.stdout
    (stop,) = json.loads(ringpost("stops", "list", "--json").stdout)
    assert (stop["scope"], stop["name"], stop["reason"]) == ("country", "SG", "fraud")
    assert stop["stoppedBy"] == f"night shift ({getpass.getuser()})"
    assert stop["until"] > stop["stoppedAt"]
    row = audited(database)[-1]
    assert (row.actor, row.action, row.target, row.before) == (stop["stoppedBy"], "stop", "country SG", None)
    assert (row.after["reason"], row.after["until"]) == ("fraud", stop["until"])


def test_a_stop_that_is_changed_or_ended_is_noted_with_what_was(ringpost, database, provider_id):
    throw(ringpost, "provider", "bank")
    ringpost("stop", "provider", "bank", "--reason", "fraud, confirmed", "--yes")
    gone = ringpost("go", "provider", "bank")
    again = ringpost("go", "provider", "bank")

    _, first, second, third = audited(database)
    assert (first.target, first.before, first.after["reason"]) == (f"provider {provider_id}", None, "fraud")
    assert (second.before["reason"], second.after["reason"]) == ("fraud", "fraud, confirmed")
    assert (third.action, third.before["reason"], third.after) == ("go", "fraud, confirmed", None)
    assert (gone.exit_code, again.exit_code) == (0, 1)
    assert "is not stopped" in again.stderr


def test_a_lane_is_paused_and_stopped_by_the_same_switch(ringpost, database):
    ringpost("lanes", "pause", "alert")
    (paused,) = json.loads(ringpost("stops", "list", "--json").stdout)
    ringpost("go", "lane", "alert")
    throw(ringpost, "lane", "alert")
    ringpost("lanes", "resume", "alert")

    assert (paused["scope"], paused["name"], paused["reason"]) == ("lane", "alert", "paused")
    with database.transaction() as connection:
        assert stops.standing(connection) == []
    assert [row.action for row in audited(database)] == ["lane.pause", "go", "stop", "lane.resume"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["country", "XX", "--reason", "x", "--yes"], "NAME: XX"),
        (["lane", "sms", "--reason", "x", "--yes"], "NAME: a lane is one of"),
        (["prefix", "--reason", "x", "--yes"], "NAME: prefix needs a NAME"),
        (["global", "--yes"], "--reason: is required"),
        (["global", "--reason", "x", "--for", "soon", "--yes"], "--for: must be"),
        (["global", "--reason", "x", "--json"], "--json: needs"),
    ],
)
def test_what_cannot_be_meant_is_wrong_use_and_stops_nothing(ringpost, database, arguments, said):
    result = ringpost("stop", *arguments)

    assert (result.exit_code, result.stderr[: len(said)]) == (2, said)
    assert execute(database, "SELECT count(*) FROM stops") == [(0,)]


def test_a_cap_is_set_shown_and_noted(ringpost, database, provider_id):
    told = [ringpost("providers", "cap", "bank", calls) for calls in ("100", "none", "default")]
    execute(database, "UPDATE daily_calls SET calls = 80000 WHERE name = :id", id=provider_id)

    (row,) = json.loads(ringpost("providers", "list", "--json").stdout)
    people = ringpost("providers", "list").stdout

    assert [one.exit_code for one in told] == [0, 0, 0]
    assert (row["callsToday"], row["dailyCap"], row["capShare"]) == (80_000, 100_000, 0.8)
    assert "80%" in people.replace("\n", "")
    changes = [(one.before["dailyCap"], one.after["dailyCap"]) for one in audited(database)[1:]]
    assert changes == [(100_000, 100), (100, None), (None, 100_000)]
    assert ringpost("providers", "cap", "bank", "-1").exit_code == 2
    assert ringpost("providers", "cap", "bank", "many").exit_code == 2


def test_a_higher_cap_lets_go_what_waited_for_midnight(ringpost, database, accepted):
    accepted("A")
    execute(database, "UPDATE messages SET reason = 'daily_cap', due_at = now() + interval '5 hours'")

    ringpost("providers", "cap", "bank", "1000")

    assert execute(database, "SELECT reason, due_at <= now() FROM messages") == [(None, True)]


def test_with_yes_calls_are_stopped_before_their_cost_is_counted_and_even_if_that_takes_too_long(
    ringpost, database, provider_id, monkeypatch
):
    monkeypatch.setattr(commands, "_COUNTED_S", 0.05)
    monkeypatch.setattr(stop_preview, "lost", lambda connection, _: connection.execute(text("SELECT pg_sleep(30)")))

    done = ringpost("stop", "global", "--reason", "fraud", "--yes")
    unseen = ringpost("stop", "country", "SG", "--reason", "fraud", answer="y\n")

    assert (done.exit_code, unseen.exit_code) == (0, 0)
    assert "could not be counted" in done.stdout
    assert "could not be counted" in unseen.stdout
    stops = json.loads(ringpost("stops", "list", "--json").stdout)
    assert {stop["scope"] for stop in stops} == {"global", "country"}


def test_a_whole_number_is_no_prefix(ringpost):
    refused = ringpost("stop", "prefix", "+6591234567", "--reason", "x", "--yes")

    assert refused.exit_code == 2
    assert "eight at most" in refused.output
