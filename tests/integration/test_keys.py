"""A provider's own keys, test keys, failed logins, and how soon a key that is over is refused."""

import hashlib
import hmac
import os
import socket
import subprocess
import time
from contextlib import ExitStack

import pytest
import requests

from deploy import fleet
from deploy.demo.surroundings import environment_of
from shared.db.queries import keys, providers
from shared.db.queries.keys import Terms
from shared.ids import new_id
from shared.keys import MadeKey
from tests.integration.ingress_stage import SECRET, WEBHOOK_TOKEN, Customer, basic, call, is_problem, members, staged

LIMIT = 20  # failures a minute


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    changes = {"auth_failures_per_minute": LIMIT, "legacy_admin_auth": True}
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), **changes) as stage:
        yield stage


@pytest.fixture
def customer(stage):
    stage.site.providers._failures._forget()
    return Customer(stage.services.database)


def ask(stage, method, path, headers, *, client="192.0.2.1", **body):
    peer = {"REMOTE_ADDR": client}
    return stage.http.open(
        path, method=method, headers=headers, environ_overrides=peer, **({"json": body} if body else {})
    )


def made(stage, customer, **members):
    reply = stage.http.post("/v1/keys", json=members, headers=customer.headers)
    assert reply.status_code == 201, reply.get_json()
    return reply.get_json()


def knock(stage, headers, client="192.0.2.1"):
    return ask(stage, "GET", "/v1/messages?messageId=none", headers, client=client)


def opens(reply):
    return reply.status_code == 404


# A provider's own keys


def test_a_new_key_opens_the_door_and_its_secret_is_shown_once(stage, customer):
    key = made(stage, customer, name="rotation", expiresAt="2999-01-01T00:00:00Z")

    assert key["secret"].startswith("rp_live_")
    assert len(key["secret"]) == len("rp_live_") + 43  # 32 bytes
    assert opens(knock(stage, basic(key["id"], key["secret"])))
    listed = ask(stage, "GET", "/v1/keys", customer.headers)
    assert key["secret"] not in listed.get_data(as_text=True)
    row = next(row for row in listed.get_json()["data"] if row["id"] == key["id"])
    assert (row["mode"], row["name"], row["state"], row["expiresAt"], row["current"]) == (
        "live", "rotation", "active", "2999-01-01T00:00:00.000Z", False,
    )  # fmt: skip


def test_the_third_key_of_a_mode_is_refused_and_told_which_to_revoke(stage, customer):
    second = made(stage, customer)
    made(stage, customer, mode="test")

    third = stage.http.post("/v1/keys", json={}, headers=customer.headers)
    gone = ask(stage, "DELETE", f"/v1/keys/{second['id']}", customer.headers)

    assert is_problem(third, 409, "too_many_keys")
    assert all(name in third.get_json()["details"] for name in (second["id"], customer.key_id))
    assert (gone.status_code, gone.get_json()["state"]) == (200, "revoked")
    made(stage, customer)


def test_a_key_revokes_others_twice_without_harm_and_never_itself(stage, customer):
    second = made(stage, customer)

    once, twice = (ask(stage, "POST", f"/v1/keys/{second['id']}/revoke", customer.headers) for _ in "12")
    itself = ask(stage, "DELETE", f"/v1/keys/{customer.key_id}", customer.headers)

    assert (once.status_code, twice.status_code) == (200, 200)
    assert is_problem(itself, 409, "key_in_use")
    noted = stage.rows(
        "SELECT actor, action, before->>'state' AS before, after->>'state' AS after FROM audit_log"
        " WHERE target = :id ORDER BY audit_id", id=second["id"],
    )  # fmt: skip
    by = customer.key_id
    assert [tuple(row) for row in noted] == [
        (by, "key.create", None, "active"),
        (by, "key.revoke", "active", "revoked"),
    ]


def test_another_provider_s_keys_are_not_there(stage, customer):
    other = Customer(stage.services.database)

    for method, path in (("DELETE", "/v1/keys/{}"), ("POST", "/v1/keys/{}/revoke")):
        for id_ in (other.key_id, new_id("key"), "x", "key_\0"):
            assert is_problem(ask(stage, method, path.format(id_), customer.headers), 404, "not_found")
    listed = ask(stage, "GET", "/v1/keys", customer.headers).get_json()["data"]
    assert {row["id"] for row in listed} == {customer.key_id}
    assert opens(knock(stage, other.headers))


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"mode": "prod"}, ["mode"]),
        ({"mode": 1, "name": "", "expiresAt": "soon"}, ["mode", "name", "expiresAt"]),
        ({"name": "a\nb"}, ["name"]),
        ({"name": 7}, ["name"]),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, ["expiresAt"]),
        ({"expires": "90d"}, ["expires"]),
        ([], [""]),
    ],
)
def test_what_is_wrong_with_a_new_key_is_named(stage, customer, body, wrong):
    reply = stage.http.post("/v1/keys", json=body, headers=customer.headers)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == wrong


# Test keys


@pytest.fixture
def test_key(stage, customer):
    key = made(stage, customer, mode="test")
    return basic(key["id"], key["secret"])


def test_a_test_key_sends_test_messages_that_wait_in_their_own_lane(stage, customer, test_key):
    body = call(type="alert")

    data = stage.http.post("/api/make-call", json=body, headers=test_key).get_json()["data"]

    row = stage.row(body["messageId"])
    assert (row.lane, row.test_type, row.max_attempts, row.provider_id) == ("test", "alert", 3, customer.provider_id)
    assert (data["mode"], data["willMeetDeadline"], data["status"]) == ("test", True, "queued")
    shown = ask(stage, "GET", data["links"]["self"], test_key).get_json()
    assert (shown["mode"], shown["type"]) == ("test", "alert")


def test_a_live_message_says_so_in_its_resource_and_its_submission_is_answered_as_ever(stage, customer):
    data = stage.make_call(call(), customer.headers).get_json()["data"]

    assert "mode" not in data
    assert ask(stage, "GET", data["links"]["self"], customer.headers).get_json()["mode"] == "live"


def test_a_test_key_has_no_part_in_the_secrets_of_callbacks(stage, customer, test_key):
    path = f"/v1/endpoints/{customer.endpoint_id}/secret/rotate"

    assert is_problem(ask(stage, "GET", "/v1/endpoints", test_key), 403, "forbidden")
    assert is_problem(ask(stage, "POST", path, test_key), 403, "forbidden")
    assert stage.rows("SELECT count(*) FROM endpoints WHERE old_secret IS NOT NULL")[0][0] == 0


def test_a_key_that_is_made_again_as_the_answer_was_lost_is_one(stage, customer):
    key = MadeKey(new_id("key"), "secret", b"hash")
    terms = Terms(customer.provider_id, name="twice")

    def create():
        return stage.services.database.run(lambda connection: keys.create(connection, key, terms, actor="tests"))

    once, again = create(), create()

    assert once == again
    noted = stage.rows("SELECT action FROM audit_log WHERE target = :id", id=key.key_id)
    assert [row.action for row in noted] == ["key.create"]


def test_a_messageid_of_a_test_is_none_of_a_live_message(stage, customer, test_key):
    body = call()

    first = stage.http.post("/api/make-call", json=body, headers=test_key)
    again = stage.http.post("/api/make-call", json=body, headers=test_key)
    live = stage.http.post("/api/make-call", json=body, headers=customer.headers)

    assert (first.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert is_problem(live, 409, "message_id_reused")


def test_a_test_key_sees_nothing_live_and_a_live_key_sees_both_and_may_choose(stage, customer, test_key):
    live = stage.make_call(call(), customer.headers).get_json()["data"]
    tested = stage.http.post("/api/make-call", json=call(type="notification"), headers=test_key).get_json()["data"]

    def listed(headers, query=""):
        return [row["id"] for row in ask(stage, "GET", f"/v1/messages{query}", headers).get_json()["data"]]

    assert listed(customer.headers) == [tested["id"], live["id"]]
    assert listed(test_key) == listed(customer.headers, "?mode=test") == [tested["id"]]
    assert listed(customer.headers, "?mode=live&status=queued") == [live["id"]]
    assert listed(customer.headers, "?type=notification") == listed(test_key, "?status=queued") == [tested["id"]]
    for path in (live["links"]["self"], f"/v1/messages?messageId={live['messageId']}"):
        assert is_problem(ask(stage, "GET", path, test_key), 404, "not_found")
    assert members(ask(stage, "GET", "/v1/messages?mode=live", test_key)) == ["mode"]
    assert members(ask(stage, "GET", "/v1/messages?mode=x&type=test", customer.headers)) == ["type", "mode"]


def test_a_test_key_makes_sees_and_ends_test_keys_only(stage, customer, test_key):
    forbidden = stage.http.post("/v1/keys", json={"mode": "live"}, headers=test_key)
    second = stage.http.post("/v1/keys", json={}, headers=test_key).get_json()
    listed = ask(stage, "GET", "/v1/keys", test_key).get_json()["data"]

    assert is_problem(forbidden, 403, "forbidden")
    assert second["secret"].startswith("rp_test_")
    assert {row["mode"] for row in listed} == {"test"}
    assert is_problem(ask(stage, "DELETE", f"/v1/keys/{customer.key_id}", test_key), 404, "not_found")
    assert ask(stage, "DELETE", f"/v1/keys/{second['id']}", test_key).status_code == 200


# The last use


def test_the_last_use_is_noted_aside_and_once_a_minute(stage, customer):
    noted = "SELECT last_used_at FROM api_keys WHERE key_id = :id"
    knock(stage, customer.headers)
    on_the_way = stage.rows(noted, id=customer.key_id)[0][0]

    stage.site.providers.note_use()
    first = stage.rows(noted, id=customer.key_id)[0][0]
    knock(stage, customer.headers)
    stage.site.providers.note_use()

    assert on_the_way is None
    assert first is not None
    assert stage.rows(noted, id=customer.key_id)[0][0] == first


# Failed logins


def fail(stage, key_id, client, times=LIMIT):
    return [knock(stage, basic(key_id, "wrong"), client).status_code for _ in range(times)]


def test_whoever_fails_too_often_gets_429_before_any_look_up(stage, customer):
    asked = []
    owners = stage.site.providers._owners
    ask_before, owners._ask = owners._ask, lambda key_id: asked.append(key_id) or ask_before(key_id)

    replies = fail(stage, new_id("key"), "192.0.2.7", LIMIT)
    looked_up = len(asked)
    held_back = knock(stage, basic(new_id("key"), SECRET), "192.0.2.7")
    owners._ask = ask_before

    assert replies == [401] * LIMIT
    assert is_problem(held_back, 429, "too_many_failures")
    assert 1 <= int(held_back.headers["Retry-After"]) <= 60
    assert (looked_up, len(asked)) == (1, 1)


def test_guessing_at_a_key_from_many_addresses_does_not_lock_its_owner_out(stage, customer):
    for place in range(LIMIT):
        fail(stage, customer.key_id, f"198.51.100.{place}", 1)

    assert fail(stage, customer.key_id, "198.51.100.1", 1) == [429]
    assert opens(knock(stage, customer.headers, "192.0.2.9"))


def test_who_shares_an_address_with_a_guesser_goes_on_with_the_secret_that_fitted_before(stage, customer):
    other = Customer(stage.services.database)
    assert opens(knock(stage, customer.headers, "192.0.2.10"))
    fail(stage, new_id("key"), "192.0.2.10")

    assert opens(knock(stage, customer.headers, "192.0.2.10"))
    assert knock(stage, basic(customer.key_id, SECRET + "x"), "192.0.2.10").status_code == 429
    assert knock(stage, other.headers, "192.0.2.10").status_code == 429
    assert opens(knock(stage, other.headers, "192.0.2.11"))


def test_a_revoked_secret_that_fitted_before_is_held_back_like_any_other(stage, customer):
    knock(stage, customer.headers)
    stage.services.database.run(lambda c: providers.revoke_key(c, customer.key_id))
    stage.site.providers._owners._answers.clear()

    first = knock(stage, customer.headers).status_code
    fail(stage, new_id("key"), "192.0.2.1")

    assert (first, knock(stage, customer.headers).status_code) == (401, 429)


def test_every_way_to_fail_and_to_succeed_hashes_and_compares_once(stage, customer, monkeypatch):
    work = []
    sha256, compare = hashlib.sha256, hmac.compare_digest
    revoked, expired = Customer(stage.services.database), Customer(stage.services.database)
    stage.services.database.run(lambda c: providers.revoke_key(c, revoked.key_id))
    stage.services.database.run(lambda c: c.exec_driver_sql(
        f"UPDATE api_keys SET expires_at = now() WHERE key_id = '{expired.key_id}'"))  # fmt: skip
    ways = {
        "right": customer.headers,
        "wrong": basic(customer.key_id, "wrong"),
        "unknown": basic(new_id("key"), SECRET),
        "malformed": basic("x", SECRET),
        "revoked": revoked.headers,
        "expired": expired.headers,
        "none": {},
        "the demo's login": basic("admin", WEBHOOK_TOKEN),
        "a wrong demo's login": basic("admin", "wrong"),
    }
    for headers in ways.values():  # what is remembered is so for all
        knock(stage, headers)
    monkeypatch.setattr(hashlib, "sha256", lambda data: work.append("hash") or sha256(data))
    monkeypatch.setattr(
        hmac, "compare_digest", lambda one, other: work.append((len(one), len(other))) or compare(one, other)
    )

    done = {}
    for name, headers in ways.items():
        stage.site.providers._failures._forget()
        stage.site.providers._used.clear()
        stage.site.providers._proven.clear()
        work.clear()
        done[name] = (knock(stage, headers).status_code, work[:2])

    assert {name: reply for name, (reply, _) in done.items()} == dict.fromkeys(ways, 401) | {
        "right": 404, "the demo's login": 404,
    }  # fmt: skip
    assert {name: work for name, (_, work) in done.items()} == {name: ["hash", (32, 32)] for name in ways}


# How soon


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def two_processes(stage, tmp_path):
    """Two ingress processes of their own, as two machines would run them."""
    with ExitStack() as stack:
        urls = []
        for _ in "12":
            port = free_port()
            command = (
                f"python -m ingress --interface rsgi --factory --workers 1 --no-ws --port {port} ingress.server:create"
            )
            environment = os.environ | environment_of(stage.site.settings) | fleet.program_paths()
            log = stack.enter_context((tmp_path / f"{port}.log").open("w"))
            process = stack.enter_context(
                subprocess.Popen(command.split(), env=environment, stdout=log, stderr=subprocess.STDOUT)
            )
            stack.callback(process.kill)  # what works for it ends with it
            urls.append(f"http://127.0.0.1:{port}")
        yield urls


def status(url, customer):
    try:
        return requests.get(f"{url}/v1/messages?messageId=none", headers=customer.headers, timeout=5).status_code
    except requests.ConnectionError:
        return None


def until(predicate, patience_s):
    ends = time.monotonic() + patience_s
    while not predicate():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def test_two_processes_refuse_what_is_over_within_five_seconds(stage, two_processes):
    revoked, expired, disabled = (Customer(stage.services.database) for _ in range(3))
    doors = [(url, customer) for url in two_processes for customer in (revoked, expired, disabled)]
    assert until(lambda: all(status(*door) == 404 for door in doors), 60)

    def end(connection):
        providers.revoke_key(connection, revoked.key_id)
        providers.disable_provider(connection, disabled.provider_id)
        connection.exec_driver_sql(f"UPDATE api_keys SET expires_at = now() WHERE key_id = '{expired.key_id}'")

    stage.services.database.run(end)

    assert until(lambda: all(status(*door) == 401 for door in doors), 5)
