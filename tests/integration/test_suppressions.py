"""Numbers that are not to be called: told at the door, held at the dial, kept without the number."""

import json

import pytest

from shared.db.queries import suppressions
from shared.db.queries.accept import SUPPRESSED
from shared.lifecycle import Lane
from tests.integration.ingress_stage import Customer, call, is_problem, members
from tests.integration.ingress_stage import staged as ingress
from tests.integration.worker_stage import PROVIDER, staged

NUMBER = "+6581239876"


@pytest.fixture(scope="module")
def the_door(database_url, redis_url, tmp_path_factory):
    with ingress(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
def door(the_door, database):
    """The door, for a provider that has no list yet."""
    the_door.customer = Customer(the_door.services.database)
    return the_door


@pytest.fixture
def stage(settings, database):
    with staged(settings) as stage:
        yield stage


def ask(door, method, body=None, query=""):
    return door.http.open(f"/v1/suppressions{query}", method=method, json=body, headers=door.customer.headers)


def suppress(stage, number, owner=PROVIDER):
    key = stage.services.sealer.destination_key(number)
    stage.database.run(lambda c: suppressions.add(c, owner, key, masked="+65****9876", reason="asked"))


def test_a_provider_keeps_a_list_of_its_own(door):
    added = ask(door, "POST", {"number": NUMBER, "reason": "asked us not to"})
    again = ask(door, "POST", {"number": "+65 8123 9876"})
    listed = ask(door, "GET").get_json()

    assert (added.status_code, again.status_code) == (201, 200)
    assert listed["data"] == [added.get_json()] == [again.get_json()]
    assert added.get_json() | {"createdAt": ""} == {"to": "+65****9876", "reason": "asked us not to", "createdAt": ""}
    mine, door.customer = door.customer, Customer(door.services.database)
    assert ask(door, "GET").get_json()["data"] == []
    assert is_problem(ask(door, "DELETE", {"number": NUMBER}), 404, "not_found")
    door.customer = mine
    assert ask(door, "DELETE", {"number": NUMBER}).status_code == 200
    assert ask(door, "GET").get_json() == {"data": [], "next": None, "hasMore": False}


def test_the_list_comes_in_pages(door):
    for n in range(5):
        ask(door, "POST", {"number": f"+658123987{n}"})

    first = ask(door, "GET", query="?limit=3").get_json()
    second = ask(door, "GET", query=f"?limit=3&after={first['next']}").get_json()

    shown = [one["to"] for one in first["data"] + second["data"]]
    assert (first["hasMore"], second["hasMore"], second["next"]) == (True, False, None)
    assert sorted(shown) == [f"+65****987{n}" for n in range(5)]


@pytest.mark.parametrize(("body", "named"), [
    ({}, ["number"]), ({"number": 7}, ["number"]), ({"number": "12"}, ["number"]), ([], [""]),
    ({"number": NUMBER, "reason": ""}, ["reason"]), ({"number": NUMBER, "reason": "is +6581239876"}, ["reason"]),
    ({"number": NUMBER, "nmber": "x"}, ["nmber"]),
])  # fmt: skip
def test_what_is_wrong_is_named(door, body, named):
    reply = ask(door, "POST", body)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == named
    assert NUMBER not in reply.text


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x", "?after=abc", "?page=2"])
def test_a_wrong_page_is_named(door, query):
    assert members(ask(door, "GET", query=query)) == [query[1:].partition("=")[0]]


def test_the_door_takes_the_message_and_warns(door):
    ask(door, "POST", {"number": NUMBER})
    body = call(customerPhone=NUMBER)

    first, repeat, other = (door.make_call(one) for one in (body, body, call(customerPhone="+6581239877")))

    assert first.status_code == repeat.status_code == 200
    assert first.get_json()["data"]["warnings"] == repeat.get_json()["data"]["warnings"] == [SUPPRESSED]
    assert other.get_json()["data"]["warnings"] == []


@pytest.mark.parametrize("owner", [PROVIDER, suppressions.ALL])
def test_what_is_suppressed_after_it_was_accepted_ends_blocked_and_nobody_is_called(stage, owner):
    stage.endpoint()
    id_, other = stage.keep(NUMBER), stage.keep()
    suppress(stage, NUMBER, owner)

    stage.dial()

    assert stage.state(id_) == ("blocked", "suppressed")
    assert stage.state(other)[0] == "placed"
    assert [one.status for one in stage.events(id_)] == ["blocked"]
    assert len(stage.callbacks(id_)) == 1
    assert stage.attempts(id_)[0].disposition == "suppressed"
    assert [one.destination == NUMBER for one in stage.simulator.ledger.accepted] == [False]
    row = stage.message(id_)
    assert (row.content, row.busy_destination) == (None, None)


def test_another_providers_entry_holds_nobody_else_back(stage):
    id_ = stage.keep(NUMBER)
    suppress(stage, NUMBER, "prov_other")

    stage.dial()

    assert stage.state(id_)[0] == "placed"


def test_a_redial_is_not_made_to_who_is_suppressed_meanwhile(stage):
    id_ = stage.keep(NUMBER, max_attempts=3, lane=Lane.ALERT, ttl_s=3600)
    stage.place(id_)
    stage.report(id_, "BUSY")
    assert stage.state(id_)[0] == "queued"
    suppress(stage, NUMBER)
    stage.execute("UPDATE messages SET due_at = now() WHERE id = :id", id=id_)

    stage.dial(Lane.ALERT)

    assert stage.state(id_) == ("blocked", "suppressed")


def test_no_number_is_kept_in_the_list(door):
    ask(door, "POST", {"number": NUMBER})

    kept = repr(door.rows("SELECT * FROM suppressions"))
    assert "81239876" not in kept


def test_the_command_adds_lists_and_removes_and_notes_it(ringpost, door, provider_id):
    added = ringpost("suppressions", "add", "--provider", "bank", "--reason", "complained", answer=f"{NUMBER}\n")
    for_all = ringpost("suppressions", "add", "--all", answer="+6581239877\n\n+6581239878\n")
    listed = json.loads(ringpost("suppressions", "list", "--json").stdout)
    mine = json.loads(ringpost("suppressions", "list", "--provider", "bank", "--json").stdout)
    removed = ringpost("suppressions", "remove", "--all", answer="+6581239877")
    again = ringpost("suppressions", "remove", "--all", answer="+6581239877")

    assert added.exception is None, (added.output, added.exception)
    assert [one.exit_code for one in (added, for_all, removed, again)] == [0, 0, 0, 1]
    assert (for_all.stdout, removed.stdout) == ("2 numbers added\n", "1 numbers removed\n")
    assert [(one["destinationMasked"], one["provider"]) for one in listed] == [
        ("+65****9876", "bank"), ("+65****9877", None), ("+65****9878", None),
    ]  # fmt: skip
    assert [one["reason"] for one in mine] == ["complained"]
    assert "every provider" in ringpost("suppressions", "list").stdout
    audit = door.rows("SELECT action, target, before, after FROM audit_log WHERE action LIKE 'suppression%'")
    assert [one.action for one in audit] == [*["suppression.add"] * 3, "suppression.remove"]
    assert (audit[0].target, audit[0].after) == (provider_id, {"number": "+65****9876", "reason": "complained"})
    assert audit[3].before == {"number": "+65****9877", "reason": "asked by an operator"}


@pytest.mark.parametrize(("arguments", "answer", "said"), [
    (("add",), NUMBER, "name one list"),
    (("add", "--all", "--provider", "bank"), NUMBER, "name one list"),
    (("add", "--all"), "", "no number on standard input"),
    (("add", "--all"), f"{NUMBER}\n12", "line 2 must be a phone number"),
    (("add", "--all", "--reason", "see 81239876"), NUMBER, "--reason"),
])  # fmt: skip
def test_wrong_use_is_told_without_the_number(ringpost, provider_id, arguments, answer, said):
    result = ringpost("suppressions", *arguments, answer=answer)

    assert result.exit_code == 2
    assert said in result.output
    assert "81239876" not in result.output
