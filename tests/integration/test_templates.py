"""Texts by name, in versions, and the messages that are made of them."""

import json

import pytest

from ingress import filling
from ingress.problems import Problem
from shared.db.database import DatabaseAway
from shared.db.queries import templates
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
def customer(stage):
    """A provider that has no template yet."""
    return Customer(stage.services.database)


def put(stage, customer, name, text, **more):
    return stage.http.put(f"/v1/templates/{name}", json={"text": text} | more, headers=customer.headers)


def get(stage, customer, name=""):
    return stage.http.get(f"/v1/templates/{name}".rstrip("/"), headers=customer.headers)


def send(stage, customer, **changes):
    body = call(**changes)
    if "message" not in changes:
        del body["message"]
    return stage.http.post("/v1/messages", json=body, headers=customer.headers)


def spoken(stage, reply):
    assert reply.status_code == 202, reply.text
    row = stage.rows("SELECT id, content FROM messages WHERE id = :id", id=reply.get_json()["id"])[0]
    return json.loads(stage.services.sealer.unseal(bytes(row.content), row=row.id))["text"]


def test_a_message_is_made_of_a_template_its_variables_and_its_code(stage, customer):
    put(stage, customer, "login", "{shop}: your code is {code}. {shop} never asks for it.")

    reply = send(stage, customer, template="login", variables={"shop": "Blumen"}, code="4711")

    text = spoken(stage, reply)
    assert text.startswith("Blumen: your code is 4, 7")
    assert text.endswith("Blumen never asks for it.")


def test_every_other_text_is_another_version_and_the_same_one_is_none(stage, customer):
    first, again, second = (put(stage, customer, "hi", text) for text in ("Hello.", "Hello.", "Good day."))

    assert [reply.status_code for reply in (first, again, second)] == [201, 200, 201]
    assert [reply.get_json()["version"] for reply in (first, again, second)] == [1, 1, 2]
    told = get(stage, customer, "hi").get_json()
    assert (told["version"], [one["text"] for one in told["versions"]]) == (2, ["Good day.", "Hello."])
    assert [one["version"] for one in get(stage, customer).get_json()["data"]] == [2]
    assert spoken(stage, send(stage, customer, template="hi@1")) == "Hello."
    assert spoken(stage, send(stage, customer, template="hi@2")) == "Good day."


def test_a_new_version_counts_within_seconds_and_a_repetition_keeps_its_answer(stage, customer, monkeypatch):
    put(stage, customer, "hi", "Hello.")
    body = call(template="hi")
    del body["message"]
    first = stage.http.post("/v1/messages", json=body, headers=customer.headers).get_json()
    put(stage, customer, "hi", "Good day.")
    monkeypatch.setattr(filling, "_FRESH_S", 0)

    assert spoken(stage, send(stage, customer, template="hi")) == "Good day."
    again = stage.http.post("/v1/messages", json=body, headers=customer.headers)
    assert (again.get_json()["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")


@pytest.mark.parametrize("change", ["another variable", "deleted"])
def test_a_message_that_was_stored_keeps_its_answer_whatever_becomes_of_its_template(
    stage, customer, change, monkeypatch
):
    monkeypatch.setattr(filling, "_FRESH_S", 0)
    put(stage, customer, "hi", "Hello.")
    body = call(template="hi")
    del body["message"]
    first = stage.http.post("/v1/messages", json=body, headers=customer.headers).get_json()
    if change == "deleted":
        stage.http.delete("/v1/templates/hi", headers=customer.headers)
    else:
        put(stage, customer, "hi", "Hello {name}.")

    again = stage.http.post("/v1/messages", json=body, headers=customer.headers)

    assert (again.status_code, again.get_json()["id"]) == (202, first["id"])
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_message_that_fits_the_newest_version_is_never_refused_for_an_older_one(stage, customer):
    put(stage, customer, "hi", "Hello.")
    send(stage, customer, template="hi")  # this process remembers that version
    put(stage, customer, "hi", "Hello {name}.")

    assert spoken(stage, send(stage, customer, template="hi", variables={"name": "Ada"})) == "Hello Ada."


def test_while_postgresql_is_away_what_is_remembered_is_used_and_a_batch_is_refused_soon(stage, customer, monkeypatch):
    tries = []

    class Away:
        def run(self, work, **how):
            tries.append(work)
            raise DatabaseAway

    known = filling.Templates(stage.services.database)
    put(stage, customer, "hi", "Hello.")
    request = filling.CallRequest.model_validate({"messageId": "1", "customerPhone": "+65", "template": "hi"})
    mine = type("Owner", (), {"provider_id": customer.provider_id})()
    known.fill(request, mine)
    monkeypatch.setattr(filling, "_FRESH_S", 0)
    known._database = Away()
    lost = filling.Templates(Away())

    assert known.fill(request, mine).message == "Hello."
    for _ in range(100):
        with pytest.raises(Problem) as refused:
            lost.fill(request, mine)
    assert refused.value.code == "unavailable"
    assert len(tries) == 2


def test_a_template_brings_its_language_unless_the_message_has_one(stage, customer):
    put(stage, customer, "hi", "Hello.", language="en-GB")

    own, other = (send(stage, customer, template="hi", **more).get_json()["id"] for more in ({}, {"language": "en-US"}))

    voices = {row.id: row.voice for row in stage.rows("SELECT id, voice FROM messages")}
    assert (voices[own][:5], voices[other][:5]) == ("en-GB", "en-US")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"template": "login"}, ["variables.shop"]),
        ({"template": "login", "variables": {"shop": "x", "shopp": "y"}}, ["variables.shopp"]),
        ({"template": "login", "variables": {"shop": "{code}"}}, ["variables"]),
        ({"template": "login", "variables": {"shop": ""}}, ["variables"]),
        ({"template": "login", "variables": {"shop": "x" * 201}}, ["variables"]),
        ({"template": "login", "variables": {"code": "4711"}}, ["variables"]),
        ({"template": "login", "variables": {"a b": "x"}}, ["variables"]),
        ({"template": "login", "variables": {f"a{n}": "x" for n in range(21)}}, ["variables"]),
        ({"template": "login", "variables": {"shop": 5}}, ["variables.shop"]),
        ({"template": "login", "variables": {"shop": "x"}, "code": None}, ["code"]),
        ({"template": "unknown"}, ["template"]),
        ({"template": "login@2"}, ["template"]),
        ({"template": "Login!"}, ["template"]),
        ({"template": "login@0"}, ["template"]),
        ({"template": "login", "message": "Hello."}, ["template"]),
        ({"variables": {"shop": "x"}, "message": "Hello."}, ["variables"]),
        ({}, ["message"]),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_stored(stage, customer, changes, wrong):
    put(stage, customer, "login", "{shop}: your code is {code}.")
    before = stage.count("messages")

    reply = send(stage, customer, **{"code": "4711"} | changes)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == wrong
    assert "4711" not in reply.text
    assert stage.count("messages") == before


@pytest.mark.parametrize(
    ("name", "body", "wrong"),
    [
        ("Login", {"text": "x"}, ["name"]),
        ("x" * 65, {"text": "x"}, ["name"]),
        ("login", {}, ["text"]),
        ("login", {"text": ""}, ["text"]),
        ("login", {"text": "<b></b>"}, ["text"]),
        ("login", {"text": "x" * 5000}, ["text"]),
        ("login", {"text": 5}, ["text"]),
        ("login", {"text": "x", "language": "klingon, please"}, ["language"]),
        ("login", {"text": "x", "txet": "y"}, ["txet"]),
        ("login", [], [""]),
    ],
)
def test_a_template_that_is_none_is_refused(stage, customer, name, body, wrong):
    reply = stage.http.put(f"/v1/templates/{name}", json=body, headers=customer.headers)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == wrong
    assert get(stage, customer).get_json()["data"] == []


def test_what_is_deleted_makes_no_more_messages_and_its_versions_are_never_given_anew(stage, customer):
    put(stage, customer, "hi", "Hello.")

    deleted = stage.http.delete("/v1/templates/hi", headers=customer.headers)

    assert (deleted.status_code, deleted.get_json()["text"]) == (200, "Hello.")
    assert is_problem(stage.http.delete("/v1/templates/hi", headers=customer.headers), 404, "not_found")
    assert is_problem(get(stage, customer, "hi"), 404, "not_found")
    assert members(send(stage, customer, template="hi@1")) == ["template"]
    assert put(stage, customer, "hi", "Hello.").get_json()["version"] == 2


def test_one_may_not_fill_the_disk_with_them(stage, customer, monkeypatch):
    monkeypatch.setattr(templates, "MOST_NAMES", 2)
    monkeypatch.setattr(templates, "MOST_VERSIONS", 2)
    monkeypatch.setattr(templates, "MOST_EVER", 4)

    replies = [put(stage, customer, name, text) for name, text in [("a", "1 x"), ("b", "1 x"), ("a", "2 x")]]

    assert [reply.status_code for reply in replies] == [201, 201, 201]
    assert is_problem(put(stage, customer, "c", "x"), 409, "too_many_templates")
    assert is_problem(put(stage, customer, "a", "3 x"), 409, "too_many_templates")
    assert put(stage, customer, "a", "2 x").status_code == 200
    stage.http.delete("/v1/templates/a", headers=customer.headers)
    assert put(stage, customer, "c", "1 x").status_code == 201
    stage.http.delete("/v1/templates/c", headers=customer.headers)
    assert is_problem(put(stage, customer, "d", "x"), 409, "too_many_templates")


def test_a_provider_has_its_own_templates_only_and_a_test_key_changes_none(stage, customer):
    put(stage, customer, "hi", "Hello.")
    other, tester = (Customer(stage.services.database) for _ in range(2))
    stage.rows("UPDATE api_keys SET mode = 'test', provider_id = :p WHERE key_id = :id RETURNING 1",
               p=customer.provider_id, id=tester.key_id)  # fmt: skip

    assert is_problem(get(stage, other, "hi"), 404, "not_found")
    assert members(send(stage, other, template="hi")) == ["template"]
    assert put(stage, other, "hi", "Another.").get_json()["version"] == 1
    assert is_problem(put(stage, tester, "hi", "Changed."), 403, "forbidden")
    assert is_problem(stage.http.delete("/v1/templates/hi", headers=tester.headers), 403, "forbidden")
    assert send(stage, tester, template="hi").get_json()["mode"] == "test"


def test_each_change_is_in_the_audit_log(stage, customer):
    put(stage, customer, "hi", "Hello.")
    put(stage, customer, "hi", "Hello.")
    put(stage, customer, "hi", "Good day.")
    stage.http.delete("/v1/templates/hi", headers=customer.headers)

    noted = stage.rows(
        "SELECT action, before, after FROM audit_log WHERE actor = :id ORDER BY audit_id", id=customer.key_id
    )
    assert [tuple(row) for row in noted] == [
        ("template.put", {"version": 0}, {"version": 1}),
        ("template.put", {"version": 1}, {"version": 2}),
        ("template.delete", {"version": 2}, {}),
    ]
