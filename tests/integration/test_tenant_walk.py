"""Every route there is, with another provider's ids, and with every kind of key that opens nothing."""

import hashlib

import pytest
from sqlalchemy import text

from shared.db.queries import moves, providers
from shared.ids import new_id
from shared.lifecycle import Event, Move
from tests.integration.ingress_stage import SECRET, WEBHOOK_TOKEN, Customer, basic, call, is_problem, staged

#: Open to all, or to whoever bears a secret that is no provider's.
NO_PROVIDERS = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/api/webhooks/")
#: What holds anything that is a provider's own.
OWNED = ("messages", "api_keys", "endpoints", "suppressions", "feed_events", "templates")


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture(scope="module")
def routes(stage):
    """Method and rule of every route that asks for a provider's key."""
    found = [
        (method, rule.rule)
        for rule in stage.http.application.url_map.iter_rules()
        if not rule.rule.startswith(NO_PROVIDERS)
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
    ]
    assert len(found) > 4
    return found


def body_of(rule):
    """A body that its owner could send there."""
    bodies = {
        "/api/make-call": call,
        "/api/make-calls": lambda: {"calls": [call()]},
        "/v1/messages": call,
        "/v1/messages/batch": lambda: {"calls": [call()]},
        "/integrations/okta/telephony": lambda: {
            "eventId": "an-event",
            "data": {"messageProfile": {"phoneNumber": "+6581234567", "otpCode": "482915"}},
        },
        "/v1/preview": call,
        "/v1/templates/<name>": lambda: {"text": "Another."},
        "/v1/suppressions": lambda: {"customerPhone": "+6581234599"},
        "/v1/messages/<id_>/outcome": lambda: {"verified": True},
        "/v1/endpoints": lambda: {"url": "https://other.example/hook"},
        "/v1/endpoints/<id_>": lambda: {"url": "https://other.example/mine", "events": ["message.failed"]},
        "/v1/endpoints/<id_>/recover": lambda: {"since": "2026-01-01T00:00:00Z"},
    }
    return bodies.get(rule, dict)()


def ask(stage, method, path, rule, headers):
    json = None if method == "GET" else body_of(rule)
    return stage.http.open(path, method=method, json=json, headers=headers)


def end(stage, message_id):
    """The message ends, and its provider is to be told; the id of the callback."""
    stage.services.database.run(lambda c: moves.apply(c, [Move(message_id, Event.CANCEL_ASKED)]))
    return stage.rows("SELECT callback_id FROM callbacks WHERE message_id = :id", id=message_id)[0].callback_id


def path_of(stage, rule, message_id, customer):
    """The rule with ids of *customer* in it."""
    ids = {
        "messages": message_id,
        "keys": customer.key_id,
        "endpoints": customer.endpoint_id,
        "templates": "a-template",
    }
    if found := stage.rows("SELECT callback_id FROM callbacks WHERE message_id = :id", id=message_id):
        ids["deliveries"] = found[0].callback_id
    kind = rule.split("/")[2] if "<" in rule else ""
    return "/".join(ids[kind] if part.startswith("<") else part for part in rule.split("/"))


def belongings(stage, customer):
    """All that is stored of a provider, but for what a key's use changes."""

    def told(row):
        values = {name: value for name, value in row._mapping.items() if name != "last_used_at"}
        return str({name: bytes(one) if isinstance(one, memoryview) else one for name, one in values.items()})

    mine = {"id": customer.provider_id}
    callbacks = "SELECT c.* FROM callbacks c JOIN endpoints USING (endpoint_id) WHERE provider_id = :id"
    return {
        table: sorted(map(told, stage.rows(f"SELECT * FROM {table} WHERE provider_id = :id", **mine)))
        for table in OWNED
    } | {"callbacks": sorted(map(told, stage.rows(callbacks, **mine)))}


def test_no_route_shows_or_changes_what_is_another_providers(stage, routes):
    owner, other = stage.customer, Customer(stage.services.database)
    accepted = stage.make_call(call(messageId="the-owners-own")).get_json()["data"]
    callback_id = end(stage, accepted["id"])
    stage.http.put("/v1/templates/a-template", json={"text": "The owner's own words."}, headers=owner.headers)
    theirs = {
        "The owner's own words.",
        accepted["id"],
        "the-owners-own",
        owner.provider_id,
        owner.key_id,
        owner.endpoint_id,
        callback_id,
    }
    before = belongings(stage, owner)

    for method, rule in sorted(routes, key=lambda route: route[0] == "PUT"):
        reply = ask(stage, method, path_of(stage, rule, accepted["id"], owner), rule, other.headers)

        if method == "PUT":  # by a name that is its own, whoever else uses it
            assert reply.status_code == 201, (method, rule)
        elif "<" in rule:
            assert is_problem(reply, 404, "not_found"), (method, rule)
        assert not [one for one in theirs if one in reply.text], (method, rule)
    assert is_problem(stage.http.get("/v1/messages?messageId=the-owners-own", headers=other.headers), 404, "not_found")
    again = stage.http.post("/api/make-call", json=call(messageId="the-owners-own"), headers=other.headers).get_json()
    assert again["data"]["id"] != accepted["id"]
    assert belongings(stage, owner) == before


def keys_that_open_nothing(stage):
    """Headers by what is wrong with them."""
    database = stage.services.database
    kinds = {
        "revoked": "UPDATE api_keys SET revoked_at = now() WHERE key_id = :id",
        "expired": "UPDATE api_keys SET expires_at = now() WHERE key_id = :id",
        "disabled": "UPDATE providers SET disabled_at = now()"
        " WHERE provider_id = (SELECT provider_id FROM api_keys WHERE key_id = :id)",
    }
    headers = {
        "no key": {},
        "unknown": basic(new_id("key"), SECRET),
        "wrong secret": basic(stage.customer.key_id, SECRET + "x"),
        "legacy": basic("admin", WEBHOOK_TOKEN),
        "webhooks": {"Authorization": WEBHOOK_TOKEN},
    }
    for kind, spoil in kinds.items():
        customer = Customer(database)
        database.run(lambda c, spoil=spoil, id_=customer.key_id: c.execute(text(spoil), {"id": id_}))
        headers[kind] = customer.headers
    gone = new_id("key")
    digest = hashlib.sha256(SECRET.encode()).digest()
    database.run(lambda c: providers.create_key(c, gone, stage.customer.provider_id, digest))
    database.run(lambda c: c.execute(text("DELETE FROM api_keys WHERE key_id = :id"), {"id": gone}))
    return headers | {"deleted": basic(gone, SECRET)}


def test_every_route_refuses_every_key_that_opens_nothing_and_changes_nothing(stage, routes):
    owner = stage.customer
    message_id = stage.make_call(call()).get_json()["data"]["id"]
    end(stage, message_id)
    spoiled = keys_that_open_nothing(stage)
    before = belongings(stage, owner), stage.count("messages")

    for kind, headers in spoiled.items():
        for method, rule in routes:
            reply = ask(stage, method, path_of(stage, rule, message_id, owner), rule, headers)
            assert is_problem(reply, 401, "unauthorized"), (kind, method, rule)

    assert (belongings(stage, owner), stage.count("messages")) == before
