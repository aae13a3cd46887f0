"""/v1/endpoints: a provider makes, changes, tests, enables and deletes its endpoints, and sees how they fare."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from standardwebhooks import Webhook

from deploy.receiver import Mode as Answers
from deploy.receiver import ModeKind, Receiver
from shared.db.queries import audit_log, callbacks, moves
from shared.db.queries.own_endpoints import MOST_ENDPOINTS
from shared.ids import new_id
from shared.lifecycle import EVENT_TYPES, FINAL_EVENT_TYPES, Event, Mode, Move
from tests.integration.ingress_stage import CALLBACK_URL, Customer, call, is_problem, members, staged

URL = "https://bank.example/hook"
ROUTES = (
    ("GET", ""), ("POST", ""), ("GET", "/{}"), ("PATCH", "/{}"), ("DELETE", "/{}"), ("POST", "/{}/enable"),
    ("POST", "/{}/test"), ("POST", "/{}/secret/rotate"), ("GET", "/{}/deliveries"), ("POST", "/{}/recover"),
)  # fmt: skip


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with staged(
        database_url, redis_url, folder, callback_allowed_networks="127.0.0.0/8", callback_timeout_seconds=1
    ) as stage:
        yield stage


@pytest.fixture
def customer(stage):
    return Customer(stage.services.database)


def ask(stage, customer, method, path="", **options):
    return stage.http.open(f"/v1/endpoints{path}", method=method, headers=customer.headers, **options)


def made(stage, customer, url=URL, **members_):
    reply = ask(stage, customer, "POST", json={"url": url, **members_})
    assert reply.status_code == 201, reply.text
    return reply.get_json()


def read(stage, customer, id_):
    return ask(stage, customer, "GET", f"/{id_}").get_json()


def noted(stage, target):
    with stage.services.database.statement() as connection:
        rows = audit_log.listed(connection, audit_log.Wanted(target=target), 10)
    return [(row["action"], row["actor"], row["before"], row["after"]) for row in reversed(rows)]


def ended(stage, customer, **changes):
    """A message that came to its end."""
    reply = stage.http.post("/api/make-call", json=call(**changes), headers=customer.headers)
    assert reply.status_code == 200, reply.text
    id_ = reply.get_json()["data"]["id"]
    stage.services.database.run(lambda c: moves.apply(c, [Move(id_, Event.CANCEL_ASKED)]))
    return id_


def callbacks_of(stage, endpoint_id):
    return stage.rows("SELECT * FROM callbacks WHERE endpoint_id = :id ORDER BY event_id", id=endpoint_id)


def change(stage, endpoint_id, what):
    stage.rows(f"UPDATE endpoints SET {what} WHERE endpoint_id = :id RETURNING 1", id=endpoint_id)


def test_a_new_endpoint_hears_of_what_ends_and_tells_its_secret_once(stage, customer):
    endpoint = made(stage, customer)

    assert endpoint["secret"].startswith("whsec_")
    assert (endpoint["url"], endpoint["events"], endpoint["state"]) == (URL, [*FINAL_EVENT_TYPES], "healthy")
    assert (endpoint["lastAttempt"], endpoint["undelivered"], endpoint["parked"]) == (None, 0, 0)
    shown = ask(stage, customer, "GET")
    assert [one["url"] for one in shown.get_json()["data"]] == [CALLBACK_URL, URL]
    assert endpoint["secret"] not in shown.text
    assert read(stage, customer, endpoint["id"]) == {k: v for k, v in endpoint.items() if k != "secret"}
    ended(stage, customer)
    assert len(callbacks_of(stage, endpoint["id"])) == 1
    sealed = stage.rows("SELECT secret FROM endpoints WHERE endpoint_id = :id", id=endpoint["id"])[0].secret
    assert stage.services.sealer.unseal(bytes(sealed), row=endpoint["id"]).decode() == endpoint["secret"]
    assert noted(stage, endpoint["id"]) == [
        ("endpoint.create", customer.key_id, None, {"url": URL, "events": [*FINAL_EVENT_TYPES]})
    ]


def test_an_endpoint_hears_of_what_it_asked_for(stage, customer):
    endpoint = made(stage, customer, events=["message.placed", "message.delivered", "message.delivered"])

    ended(stage, customer)

    assert sorted(endpoint["events"]) == ["message.delivered", "message.placed"]
    assert callbacks_of(stage, endpoint["id"]) == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["url"]), ({"url": None}, ["url"]), ({"url": 7}, ["url"]), ({"url": ""}, ["url"]), ([], [""]),
        ({"url": "ftp://bank.example/"}, ["url"]),
        ({"url": "https://10.0.0.1/"}, ["url"]), ({"url": "https://169.254.169.254/latest"}, ["url"]),
        ({"url": "https://[::1]/"}, ["url"]), ({"url": "https://a:b@bank.example/"}, ["url"]),
        ({"url": "https://bank.example/#x"}, ["url"]), ({"url": "https://bank.example/" + "x" * 3000}, ["url"]),
        ({"url": "https://0x7f.1/"}, ["url"]), ({"url": URL, "events": []}, ["events"]),
        ({"url": URL, "events": ["message.eaten"]}, ["events"]), ({"url": URL, "events": "message.failed"}, ["events"]),
        ({"url": URL, "events": [1]}, ["events"]), ({"url": URL, "events": [["message.failed"]]}, ["events"]),
        ({"url": URL, "secret": "whsec_x"}, ["secret"]), ({"uri": URL}, ["uri", "url"]),
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused_member_by_member(stage, customer, body, named):
    reply = ask(stage, customer, "POST", json=body)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == named
    assert len(ask(stage, customer, "GET").get_json()["data"]) == 1


def test_where_no_network_is_excepted_only_https_is_taken(database_url, redis_url, tmp_path):
    with staged(database_url, redis_url, tmp_path) as plain:
        for url in ("http://bank.example/", "https://bank.example:8443/", "http://127.0.0.1/"):
            assert members(ask(plain, plain.customer, "POST", json={"url": url})) == ["url"], url


def test_a_url_is_one_endpoint_of_a_provider_and_may_be_anothers(stage, customer):
    made(stage, customer)

    assert is_problem(ask(stage, customer, "POST", json={"url": URL}), 409, "endpoint_exists")
    assert made(stage, Customer(stage.services.database))["url"] == URL


def test_a_provider_has_so_many_endpoints_at_most_also_when_it_asks_at_once(stage, customer):
    def create(number):
        with stage.http.application.test_client() as http:
            return http.post("/v1/endpoints", json={"url": f"{URL}/{number}"}, headers=customer.headers).status_code

    with ThreadPoolExecutor(6) as threads:
        told = list(threads.map(create, range(MOST_ENDPOINTS + 4)))

    assert sorted(told) == [201] * (MOST_ENDPOINTS - 1) + [409] * 5
    assert is_problem(ask(stage, customer, "POST", json={"url": URL}), 409, "too_many_endpoints")
    ask(stage, customer, "DELETE", f"/{customer.endpoint_id}")
    made(stage, customer)


def test_a_change_goes_for_what_waits_too_and_is_noted(stage, customer):
    endpoint = made(stage, customer)
    id_ = endpoint["id"]
    change(stage, id_, "failing_since = now()")

    reply = ask(stage, customer, "PATCH", f"/{id_}", json={"url": URL + "/2", "events": ["message.failed"]})

    told = reply.get_json()
    assert (reply.status_code, told["url"], told["events"]) == (200, URL + "/2", ["message.failed"])
    assert (told["state"], told["failingSince"]) == ("healthy", None)
    assert read(stage, customer, id_) == told
    assert noted(stage, id_)[1:] == [
        (
            "endpoint.change",
            customer.key_id,
            {"url": URL, "events": [*FINAL_EVENT_TYPES]},
            {"url": URL + "/2", "events": ["message.failed"]},
        )
    ]


def test_a_change_of_the_events_says_nothing_of_the_health(stage, customer):
    id_ = made(stage, customer)["id"]
    change(stage, id_, "failing_since = now()")

    told = ask(stage, customer, "PATCH", f"/{id_}", json={"events": [*EVENT_TYPES]}).get_json()

    assert (told["url"], told["state"], told["events"]) == (URL, "failing", [*EVENT_TYPES])


def test_a_change_keeps_the_rules_of_a_new_one(stage, customer):
    id_ = made(stage, customer)["id"]

    for body, named in (
        ({}, ""),
        ({"url": None}, ""),
        ({"url": "https://127.1/"}, "url"),
        ({"events": []}, "events"),
        ({"x": 1}, "x"),
    ):
        reply = ask(stage, customer, "PATCH", f"/{id_}", json=body)
        assert (reply.status_code, members(reply)) == (422, [named]), body
    assert is_problem(ask(stage, customer, "PATCH", f"/{id_}", json={"url": CALLBACK_URL}), 409, "endpoint_exists")
    assert read(stage, customer, id_)["url"] == URL


def test_what_waits_at_a_deleted_endpoint_is_parked_and_stays_to_be_read(stage, customer):
    endpoint = made(stage, customer)
    id_ = endpoint["id"]
    ended(stage, customer)
    assert read(stage, customer, id_)["undelivered"] == 1

    reply = ask(stage, customer, "DELETE", f"/{id_}")

    told = reply.get_json()
    assert (reply.status_code, told["state"], told["undelivered"], told["parked"]) == (200, "deleted", 0, 1)
    assert [row.state for row in callbacks_of(stage, id_)] == ["parked"]
    assert read(stage, customer, id_) == told
    assert id_ not in ask(stage, customer, "GET").text
    (delivery,) = ask(stage, customer, "GET", f"/{id_}/deliveries").get_json()["data"]
    assert delivery["state"] == "parked"
    resend = stage.http.post(f"/v1/deliveries/{delivery['id']}/resend", headers=customer.headers)
    assert is_problem(resend, 409, "endpoint_disabled")
    for method, path in ROUTES[3:]:
        if path != "/{}/deliveries":
            body = {"since": "2026-01-01T00:00:00Z"}
            assert is_problem(ask(stage, customer, method, path.format(id_), json=body), 404, "not_found"), path
    assert [action for action, *_ in noted(stage, id_)] == ["endpoint.create", "endpoint.delete"]


def test_a_deleted_endpoint_hears_of_nothing_and_its_url_is_free(stage, customer):
    old = made(stage, customer)["id"]
    named = stage.http.post("/api/make-call", json=call(callbackUrl=CALLBACK_URL), headers=customer.headers)
    ask(stage, customer, "DELETE", f"/{old}")

    new = made(stage, customer)["id"]
    ended(stage, customer)

    assert callbacks_of(stage, old) == []
    assert len(callbacks_of(stage, new)) == 1
    assert named.status_code == 200
    ask(stage, customer, "DELETE", f"/{customer.endpoint_id}")
    stage.site.providers._owners._answers.clear()  # what is remembered for 2 s
    reply = stage.http.post("/api/make-call", json=call(callbackUrl=CALLBACK_URL), headers=customer.headers)
    assert members(reply) == ["callbackUrl"]


def test_an_endpoint_is_enabled_again_once(stage, customer):
    id_ = made(stage, customer)["id"]
    change(stage, id_, "disabled_at = now(), disabled_reason = 'answered 410 Gone', failing_since = now()")
    assert read(stage, customer, id_)["state"] == "disabled"

    first = ask(stage, customer, "POST", f"/{id_}/enable").get_json()
    second = ask(stage, customer, "POST", f"/{id_}/enable").get_json()

    assert first == second
    assert (first["state"], first["disabledAt"], first["disabledReason"]) == ("healthy", None, None)
    assert [action for action, *_ in noted(stage, id_)] == ["endpoint.create", "endpoint.enable"]
    assert noted(stage, id_)[1][2:] == ({"disabled": True, "reason": "answered 410 Gone"}, {"disabled": False})


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_test_key_has_no_part_in_endpoints(stage, customer, method, path):
    stage.rows("UPDATE api_keys SET mode = :mode WHERE key_id = :id RETURNING 1", mode=Mode.TEST, id=customer.key_id)

    assert is_problem(ask(stage, customer, method, path.format(customer.endpoint_id), json={}), 403, "forbidden")


@pytest.mark.parametrize(("method", "path"), ROUTES[2:])
@pytest.mark.parametrize("id_", ["ep_x", "x", "ep_" + "0" * 26, "%00", "msg_" + "0" * 26])
def test_an_id_that_names_nothing_is_not_found(stage, customer, method, path, id_):
    body = {"since": "2026-01-01T00:00:00Z"}

    assert is_problem(ask(stage, customer, method, path.format(id_), json=body), 404, "not_found")


def test_a_test_key_cannot_send_anything_again(stage, customer):
    stage.rows("UPDATE api_keys SET mode = :mode WHERE key_id = :id RETURNING 1", mode=Mode.TEST, id=customer.key_id)

    reply = stage.http.post(f"/v1/deliveries/cb_{'0' * 26}_1/resend", headers=customer.headers)

    assert is_problem(reply, 403, "forbidden")


def recorded(stage, endpoint_id, *outcomes):
    """What POSTs came to, one after the other; None for a success."""
    for error in outcomes:
        row = callbacks.Delivery(
            callback_id=new_id("cb"),
            number=1,
            endpoint_id=endpoint_id,
            state="done" if error is None else "due",
            due_in_s=None if error is None else 5,
            elapsed_ms=7,
            http_status=None,
            error=error,
            reply=None,
        )
        stage.services.database.run(lambda c, row=row: callbacks.record(c, [row]), alone=True)


def test_an_endpoint_tells_how_its_last_attempt_went(stage, customer):
    id_ = customer.endpoint_id

    recorded(stage, id_, None)
    well = read(stage, customer, id_)
    recorded(stage, id_, None, "http_500", "timeout")
    failing = read(stage, customer, id_)
    recorded(stage, id_, None)
    again = read(stage, customer, id_)

    assert (well["state"], well["lastAttempt"]["delivered"], well["lastAttempt"]["error"]) == ("healthy", True, None)
    assert (failing["state"], failing["lastAttempt"]["error"]) == ("failing", "timeout")
    assert failing["failingSince"] <= failing["lastAttempt"]["at"] < failing["disablesAt"]
    assert (again["state"], again["failingSince"], again["disablesAt"]) == ("healthy", None, None)
    assert again["lastAttempt"]["delivered"] is True


def test_successes_in_a_row_do_not_write_the_endpoint_each_time(stage, customer):
    recorded(stage, customer.endpoint_id, None)
    before = stage.rows("SELECT xmin::text FROM endpoints WHERE endpoint_id = :id", id=customer.endpoint_id)

    recorded(stage, customer.endpoint_id, None, None)

    assert stage.rows("SELECT xmin::text FROM endpoints WHERE endpoint_id = :id", id=customer.endpoint_id) == before


def test_an_endpoint_tells_what_waits_there_and_since_when(stage, customer):
    id_ = customer.endpoint_id
    ended(stage, customer)
    ended(stage, customer)
    first, second = callbacks_of(stage, id_)
    stage.rows(
        "UPDATE callbacks SET due_at = now() + interval '1 hour' WHERE callback_id = :id RETURNING 1",
        id=first.callback_id,
    )

    told = read(stage, customer, id_)

    assert (told["undelivered"], told["parked"]) == (2, 0)
    assert told["oldestUndeliveredAt"][:22] == first.created_at.isoformat()[:22]
    assert told["nextTryAt"][:22] == second.due_at.isoformat()[:22]


def test_a_test_event_is_sent_now_signed_and_told(stage, customer, receiver):
    endpoint = made(stage, customer, f"{receiver.url}/try")
    receiver.set_mode("/try", Answers(body=b"thanks \x1b[31m\x00"))
    feed = stage.rows("SELECT count(*) FROM feed_events")

    told = ask(stage, customer, "POST", f"/{endpoint['id']}/test").get_json()

    got = receiver.received[-1]
    assert Webhook(endpoint["secret"]).verify(got.body, dict(got.headers))
    event = json.loads(got.body)
    assert (event["type"], event["sequence"], event["data"]["mode"]) == ("message.test", 0, "test")
    assert (told["delivered"], told["httpStatus"], told["error"]) == (True, 200, None)
    assert told["webhookId"] == got.headers["webhook-id"]
    assert told["reply"] == "thanks \ufffd[31m\ufffd"
    assert 0 <= told["elapsedMs"] < 1000
    assert stage.rows("SELECT count(*) FROM feed_events") == feed
    assert stage.rows("SELECT count(*) FROM delivery_attempts WHERE callback_id = :id", id=told["webhookId"])[0][0] == 0


@pytest.mark.parametrize(
    ("mode", "status", "error"),
    [
        (Answers(kind=ModeKind.STATUS, status=500, body=b"oops"), 500, "http_500"),
        (Answers(kind=ModeKind.STATUS, status=410), 410, "http_410"),
        (Answers(kind=ModeKind.REDIRECT), 302, "http_302"),
        (Answers(kind=ModeKind.HANG), None, "timeout"),
        (Answers(kind=ModeKind.CLOSE), None, "closed"),
    ],
)
def test_a_test_event_that_fails_says_how_and_changes_nothing(stage, customer, receiver, mode, status, error):
    path = f"/{new_id('x')}"
    endpoint = made(stage, customer, f"{receiver.url}{path}")
    receiver.set_mode(path, mode)

    told = ask(stage, customer, "POST", f"/{endpoint['id']}/test").get_json()

    assert (told["delivered"], told["httpStatus"], told["error"]) == (False, status, error)
    assert told["elapsedMs"] < 3000
    after = read(stage, customer, endpoint["id"])
    assert (after["state"], after["lastAttempt"], after["disabledAt"]) == ("healthy", None, None)
    assert len([one for one in receiver.received if one.path == path]) == 1


def test_a_test_event_goes_nowhere_that_a_callback_may_not_go(stage, customer, monkeypatch):
    endpoint = made(stage, customer, "https://localhost/")  # a name is looked up at each connection
    change(stage, endpoint["id"], "url = 'http://169.254.169.254/latest'")

    told = ask(stage, customer, "POST", f"/{endpoint['id']}/test").get_json()

    assert (told["delivered"], told["error"], told["httpStatus"]) == (False, "address_forbidden", None)


def test_an_endpoint_whose_secret_cannot_be_read_says_so(stage, customer):
    told = ask(stage, customer, "POST", f"/{customer.endpoint_id}/test").get_json()

    assert (told["delivered"], told["error"]) == (False, "not_sendable")


def test_a_provider_has_one_test_event_on_its_way(stage, customer, receiver):
    path = f"/{new_id('x')}"
    id_ = made(stage, customer, f"{receiver.url}{path}")["id"]
    receiver.set_mode(path, Answers(kind=ModeKind.HANG))
    first = threading.Thread(target=ask, args=(stage, customer, "POST", f"/{id_}/test"))
    first.start()
    assert receiver.wait_for(lambda all_: any(one.path == path for one in all_), timeout_s=10)

    reply = ask(stage, customer, "POST", f"/{id_}/test")
    first.join()

    assert is_problem(reply, 503, "overloaded")
    assert reply.headers["Retry-After"] == "1"
    receiver.set_mode(path, Answers())
    assert ask(stage, customer, "POST", f"/{id_}/test").get_json()["delivered"] is True
