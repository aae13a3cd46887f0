"""The OpenAPI document is current, names every route and every error, and what it shows can be sent."""

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingress.openapi import document
from ingress.openapi.operations import OPERATIONS
from ingress.problems import CODES
from shared.db.queries import moves
from shared.lifecycle import Event, Move
from tests.contract.fuzzing import Ledger, drawn
from tests.contract.judge import Judge
from tests.contract.odd_requests import Oddities
from tests.integration.conftest import database_url, engines, migrated_template, redis_url  # noqa: F401
from tests.integration.ingress_stage import WEBHOOK_TOKEN, Customer, call, staged

#: Pages for people, which are no part of the API.
PAGES = ("/dashboard",)
METRICS_TOKEN = "a metrics token of some length"
CASES = 500


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):  # noqa: F811
    with staged(
        database_url, redis_url, tmp_path_factory.mktemp("data"), metrics_token=METRICS_TOKEN, prefix_per_hour=0
    ) as stage:
        stage.services.doorbell.close()  # its thread draws random numbers, which hypothesis objects to
        yield stage


def nameless(path):
    """A path whatever its variable parts are called."""
    return re.sub(r"{\w+}|<[^>]+>", "{}", path)


def routed(operation):
    """The routes that a documented path stands for: one for each value of a variable part that has a list of them."""
    paths = [operation.path]
    for one in operation.parameters:
        if one["in"] == "path" and (values := one["schema"].get("enum")):
            paths = [path.replace(f"{{{one['name']}}}", value) for path in paths for value in values]
    return map(nameless, paths)


def test_the_document_is_current():
    assert document.PATH.read_text() == document.render(), "run: python -m ingress.openapi"


def test_the_document_names_every_route_and_no_other(stage):
    routes = {
        (nameless(rule.rule), method.lower())
        for rule in stage.http.application.url_map.iter_rules()
        if not rule.rule.startswith(PAGES)
        for method in rule.methods - {"HEAD"}
    }

    assert routes == {(path, one.method) for one in OPERATIONS for path in routed(one)}


def test_the_document_names_every_error():
    told = {code for one in OPERATIONS for code in one.errors} | set(document.NOWHERE)

    assert told == set(CODES)


def test_every_route_without_its_secret_is_a_401_if_it_has_one(stage):
    judge = Judge()
    for one in OPERATIONS:
        path = re.sub(r"{\w+}", "vss" if "webhooks" in one.path else "x", one.path)

        reply = stage.http.open(path, method=one.method)

        assert (reply.status_code == 401) == bool(one.security), one.name
        assert judge.complaint(one.method, path, reply.status_code, lowered(reply), reply.data) is None


def test_every_example_is_taken(stage):
    judge = Judge()
    examples = [one for one in OPERATIONS if one.example]
    assert examples
    for one in examples:
        id_ = (
            stage.customer.endpoint_id if "endpoints" in one.path else stage.make_call(call()).get_json()["data"]["id"]
        )
        path = one.path.replace("{id}", id_).replace("{name}", "login")

        reply = stage.http.open(path, method=one.method, json=one.example, headers=stage.customer.headers)

        makes = ("createKey", "suppressNumber", "createEndpoint", "keepTemplate")
        expected = {"reportOutcome": 409, "createMessage": 202} | dict.fromkeys(makes, 201)
        assert reply.status_code == expected.get(one.name, 200), reply.text
        assert judge.complaint(one.method, path, reply.status_code, lowered(reply), reply.data) is None


def test_what_is_told_around_callbacks_is_as_documented(stage):
    judge, http, customer = Judge(), stage.http, Customer(stage.services.database)
    id_ = stage.make_call(call(), customer.headers).get_json()["data"]["id"]
    stage.services.database.run(lambda c: moves.apply(c, [Move(id_, Event.CANCEL_ASKED)]))
    (mine,) = stage.rows("SELECT callback_id, endpoint_id FROM callbacks WHERE message_id = :id LIMIT 1", id=id_)
    own = f"/v1/endpoints/{mine.endpoint_id}"
    stage.rows(
        "UPDATE endpoints SET failing_since = now(), last_failure_at = now(), last_failure = 'timeout' RETURNING 1"
    )
    statement = "INSERT INTO delivery_attempts (callback_id, number, error) VALUES (:id, 1, 'timeout') RETURNING 1"
    stage.rows(statement, id=mine.callback_id)

    for method, path, body in (
        ("GET", "/v1/events", None),
        ("GET", "/v1/endpoints", None),
        ("GET", own, None),
        ("GET", f"{own}/deliveries", None),
        ("POST", f"{own}/test", None),
        ("POST", f"/v1/deliveries/{mine.callback_id}/resend", None),
        ("DELETE", own, None),
        ("GET", own, None),
    ):
        reply = http.open(path, method=method, json=body, headers=customer.headers)

        assert reply.status_code == 200, (path, reply.text)
        assert judge.complaint(method, path, 200, lowered(reply), reply.data) is None, path
    stage.rows("UPDATE providers SET purged_sequence = 5 WHERE provider_id = :id RETURNING 1", id=customer.provider_id)
    gone = http.get("/v1/events?after=1", headers=customer.headers)
    assert judge.complaint("GET", "/v1/events", 410, lowered(gone), gone.data) is None


def test_what_is_read_without_a_providers_key_is_as_documented(stage):
    judge = Judge()
    for path, headers in {
        "/openapi.json": {},
        "/docs": {},
        "/docs/reference": {},
        "/docs/style.css": {},
        "/docs/statuses.svg": {},
        "/docs/verify.py": {},
        "/healthz": {},
        "/readyz": {},
        "/metrics": {"Authorization": f"Bearer {METRICS_TOKEN}"},
    }.items():
        for method in ("GET", "HEAD"):
            reply = stage.http.open(path, method=method, headers=headers)

            assert reply.status_code == 200
            assert judge.complaint(method, path, 200, lowered(reply), reply.data) is None
    assert stage.http.get("/openapi.json").get_json() == json.loads(document.PATH.read_bytes())


def test_the_judge_notices_what_is_not_documented():
    judge, headers = Judge(), {"content-type": "application/json", "x-request-id": "req_1"}
    sound = {"status": "ok"}
    for complaint, status, told, body in [
        (False, 200, headers, sound),
        (True, 200, headers, {"status": "bad"}),
        (True, 200, headers, sound | {"more": 1}),
        (True, 200, headers | {"content-type": "text/html"}, sound),
        (True, 200, {"content-type": "application/json"}, sound),
        (True, 418, headers, sound),
        (True, 500, headers, sound),
    ]:
        assert bool(judge.complaint("GET", "/healthz", status, told, json.dumps(body).encode())) == complaint


def test_whatever_is_sent_is_answered_as_documented_and_stored_once(stage):
    customer, ledger = Customer(stage.services.database), Ledger()
    messages, events = (stored(stage, *of) for of in (("id", "messages"), ("dedupe_key", "webhook_inbox")))
    oddities = Oddities(random.Random(1), customer.headers["Authorization"], WEBHOOK_TOKEN)
    app = stage.http.application

    def send(asked):
        headers = {name: text.encode().decode("latin-1") for name, text in asked.headers.items()}
        return asked, app.test_client().open(asked.target, method=asked.method, data=asked.body, headers=headers)

    with ThreadPoolExecutor(8) as threads:
        for asked, reply in threads.map(send, drawn(oddities, CASES)):
            ledger.note(asked, reply.status_code, lowered(reply), reply.data)

    assert list(ledger.complaints.values()) == []
    assert stored(stage, "id", "messages") - messages == ledger.accepted
    assert stored(stage, "dedupe_key", "webhook_inbox") - events == ledger.events
    assert len(ledger.accepted) > CASES / 20


def stored(stage, column, table):
    return {row[0] for row in stage.rows(f"SELECT {column} FROM {table}")}


def lowered(reply):
    return {name.lower(): value for name, value in reply.headers.items()}
