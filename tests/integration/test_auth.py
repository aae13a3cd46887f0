"""Keys: what opens the door, what does not, and how soon a revoked one fails."""

import hashlib
import time
from base64 import b64encode

import pytest
from sqlalchemy import text

from shared.db.queries import providers
from shared.db.queries.providers import LEGACY_PROVIDER_ID
from shared.ids import new_id
from tests.integration.ingress_stage import SECRET, WEBHOOK_TOKEN, Customer, basic, call, is_problem, staged


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture(scope="module")
def legacy_stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), legacy_admin_auth=True) as stage:
        yield stage


def knock(stage, **headers):
    return stage.http.get("/v1/messages?messageId=none", headers=headers)


def opens(reply):
    return reply.status_code == 404


@pytest.mark.parametrize(
    "shape",
    ["Basic {pair64}", "basic {pair64}", "Bearer {pair}", "BEARER {pair}", "Bearer {pair64}", "  Basic   {pair64}  "],
)
def test_a_key_opens_as_basic_and_as_bearer(stage, shape):
    pair = f"{stage.customer.key_id}:{SECRET}"

    reply = knock(stage, Authorization=shape.format(pair=pair, pair64=b64encode(pair.encode()).decode()))

    assert opens(reply)


NO_KEYS = {
    "nothing": {},
    "empty": {"Authorization": ""},
    "scheme only": {"Authorization": "Basic"},
    "not base64": {"Authorization": "Basic !!!"},
    "base64 of no text": {"Authorization": "Basic " + b64encode(b"\xff\xfe:x").decode()},
    "no colon": {"Authorization": "Basic " + b64encode(b"key").decode()},
    "cut base64": {"Authorization": "Basic YTpi="},
    "no ASCII": {"Authorization": "Basic é"},
    "unknown id": basic("key_" + "0" * 26, SECRET),
    "odd id": basic("key_\0", SECRET),
    "long id": basic("k" * 5000, SECRET),
    "empty pair": basic("", ""),
    "another scheme": {"Authorization": f"Digest {SECRET}"},
    "the webhooks' token": {"Authorization": WEBHOOK_TOKEN},
    "the demo's login": basic("admin", WEBHOOK_TOKEN),
}


@pytest.mark.parametrize("headers", NO_KEYS.values(), ids=NO_KEYS)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/make-call"), ("POST", "/api/make-calls"), ("GET", "/v1/messages"), ("GET", "/v1/messages/msg_1")],
)
def test_without_a_key_every_route_is_a_401(stage, method, path, headers):
    before = stage.count("messages")

    reply = stage.http.open(path, method=method, json=call() if method == "POST" else None, headers=headers)

    assert is_problem(reply, 401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert stage.count("messages") == before


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + " ", SECRET[:-1], SECRET.upper(), "é"])
def test_a_wrong_secret_is_refused_like_an_unknown_key(stage, secret):
    wrong, unknown = knock(stage, **basic(stage.customer.key_id, secret)), knock(stage, **basic("x", secret))

    assert is_problem(wrong, 401, "unauthorized")
    assert wrong.get_json() | {"requestId": ""} == unknown.get_json() | {"requestId": ""}


def refused_within(stage, customer, seconds):
    ends = time.monotonic() + seconds
    while opens(knock(stage, **customer.headers)):
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def test_a_revoked_key_is_refused_within_three_seconds(stage):
    customer = Customer(stage.services.database)
    assert opens(knock(stage, **customer.headers))

    stage.services.database.run(lambda c: providers.revoke_key(c, customer.key_id))

    assert refused_within(stage, customer, 3)


def test_a_disabled_providers_keys_are_refused(stage):
    customer = Customer(stage.services.database)

    stage.services.database.run(lambda c: providers.disable_provider(c, customer.provider_id))

    assert is_problem(knock(stage, **customer.headers), 401, "unauthorized")


@pytest.mark.parametrize(("expires", "is_open"), [("now() - interval '1 s'", False), ("now() + interval '1 h'", True)])
def test_a_key_ends_with_its_time(stage, expires, is_open):
    customer = Customer(stage.services.database)
    stage.services.database.run(
        lambda c: c.execute(
            text(f"UPDATE api_keys SET expires_at = {expires} WHERE key_id = :id"), {"id": customer.key_id}
        )
    )

    assert opens(knock(stage, **customer.headers)) is is_open


def test_a_second_key_of_the_same_provider_opens_too(stage):
    key_id, digest = new_id("key"), hashlib.sha256(b"other").digest()
    stage.services.database.run(lambda c: providers.create_key(c, key_id, stage.customer.provider_id, digest))

    assert opens(knock(stage, **basic(key_id, "other")))
    assert not opens(knock(stage, **basic(key_id, SECRET)))


def test_another_providers_message_is_not_there(stage):
    other = Customer(stage.services.database)
    data = stage.make_call(call()).get_json()["data"]

    by_id = stage.http.get(data["links"]["self"], headers=other.headers)
    by_reference = stage.http.get(f"/v1/messages?messageId={data['messageId']}", headers=other.headers)

    assert is_problem(by_id, 404, "not_found")
    assert is_problem(by_reference, 404, "not_found")


def test_the_demos_login_opens_only_with_the_switch(legacy_stage):
    reply = legacy_stage.make_call(call(), basic("admin", WEBHOOK_TOKEN))

    assert reply.status_code == 200
    assert not opens(knock(legacy_stage, **basic("admin", "wrong")))
    assert opens(knock(legacy_stage, **legacy_stage.customer.headers))


def test_a_disabled_demo_provider_is_refused_too(legacy_stage):
    legacy_stage.make_call(call(), basic("admin", WEBHOOK_TOKEN))
    legacy_stage.site.providers._legacy._answers.clear()

    legacy_stage.services.database.run(lambda c: providers.disable_provider(c, LEGACY_PROVIDER_ID))

    assert is_problem(knock(legacy_stage, **basic("admin", WEBHOOK_TOKEN)), 401, "unauthorized")
