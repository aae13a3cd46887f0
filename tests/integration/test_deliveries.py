"""What was sent to an endpoint, every try of it, and sending it again: one, or all that was given up."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from shared import jobs
from shared.db.prepared import plan_each_time
from shared.db.queries import audit_log, callbacks, deliveries, moves
from shared.db.queries.deliveries import Span
from shared.lifecycle import CallbackState, Event, Move
from tests.integration.ingress_stage import Customer, call, is_problem, members, staged

LONG_AGO, SOON = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


@pytest.fixture
def customer(stage):
    return Customer(stage.services.database)


def sent(stage, customer, *errors, state=None):
    """One event's callback after tries that failed with *errors*; None for a success. Its id."""
    reply = stage.http.post("/api/make-call", json=call(), headers=customer.headers)
    id_ = reply.get_json()["data"]["id"]
    stage.services.database.run(lambda c: moves.apply(c, [Move(id_, Event.CANCEL_ASKED)]))
    (row,) = stage.rows("SELECT callback_id FROM callbacks WHERE message_id = :id", id=id_)
    for number, error in enumerate(errors, 1):
        claim(stage, row.callback_id, number)
        goes_on = number < len(errors) or state == "due"
        ends = "done" if error is None else "due" if goes_on else "parked"
        told = callbacks.Delivery(
            callback_id=row.callback_id,
            number=number,
            endpoint_id=customer.endpoint_id,
            state=ends,
            due_in_s=3600 if ends == "due" else None,
            elapsed_ms=12,
            http_status=None if error == "timeout" else 204 if error is None else 500,
            error=error,
            reply=None if error is None else "oops",
        )
        stage.services.database.run(lambda c, told=told: callbacks.record(c, [told]), alone=True)
    return row.callback_id


def claim(stage, callback_id, number):
    stage.rows(
        "WITH o AS (INSERT INTO delivery_attempts (callback_id, number) VALUES (:id, :number))"
        " UPDATE callbacks SET state = 'sending', attempts = :number, due_at = now() WHERE callback_id = :id"
        " RETURNING 1",
        id=callback_id,
        number=number,
    )


def listed(stage, customer, **query):
    return stage.http.get(
        f"/v1/endpoints/{customer.endpoint_id}/deliveries", query_string=query, headers=customer.headers
    )


def ids(reply):
    return [one["id"] for one in reply.get_json()["data"]]


def walked(stage, customer, **query):
    """Every page's ids."""
    pages, after = [], {}
    while True:
        reply = listed(stage, customer, **query, **after)
        assert reply.status_code == 200, reply.text
        pages.append(ids(reply))
        if not reply.get_json()["hasMore"]:
            assert reply.get_json()["next"] is None
            return pages
        after = {"after": reply.get_json()["next"]}


def recover(stage, customer, **body):
    body = {"since": LONG_AGO} | body
    return stage.http.post(f"/v1/endpoints/{customer.endpoint_id}/recover", json=body, headers=customer.headers)


def resend(stage, customer, id_):
    return stage.http.post(f"/v1/deliveries/{id_}/resend", headers=customer.headers)


def state_of(stage, callback_id):
    (row,) = stage.rows(
        "SELECT state, attempts, failures_forgiven, due_at <= now() AS is_due FROM callbacks WHERE callback_id = :id",
        id=callback_id,
    )
    return tuple(row)


def actions(stage, target):
    with stage.services.database.statement() as connection:
        rows = audit_log.listed(connection, audit_log.Wanted(target=target), 10)
    return [(row["action"], row["actor"], row["before"], row["after"]) for row in reversed(rows)]


def test_a_delivery_tells_every_try(stage, customer):
    id_ = sent(stage, customer, "http_500", "timeout", None)

    (told,) = listed(stage, customer).get_json()["data"]

    assert (told["id"], told["endpointId"], told["state"], told["attempts"]) == (id_, customer.endpoint_id, "done", 3)
    assert (told["type"], told["sequence"], told["nextAt"]) == ("message.canceled", 1, None)
    assert told["finishedAt"] is not None
    (message,) = stage.rows("SELECT id, message_id FROM messages WHERE provider_id = :id", id=customer.provider_id)
    assert told["message"] == {"id": message.id, "messageId": message.message_id}
    tries = [{name: one[name] for name in one if name != "at"} for one in told["deliveries"]]
    assert tries == [
        {"number": 1, "elapsedMs": 12, "httpStatus": 500, "error": "http_500", "reply": "oops"},
        {"number": 2, "elapsedMs": 12, "httpStatus": None, "error": "timeout", "reply": "oops"},
        {"number": 3, "elapsedMs": 12, "httpStatus": 204, "error": None, "reply": None},
    ]


def test_pages_hold_every_delivery_once_newest_first(stage, customer):
    stored = [sent(stage, customer, None) for _ in range(5)]

    assert walked(stage, customer, limit=2) == [stored[:2:-1], stored[2:0:-1], stored[:1]]
    assert walked(stage, customer) == [stored[::-1]]


def test_deliveries_are_found_by_where_they_stand(stage, customer):
    done = sent(stage, customer, None)
    parked = [sent(stage, customer, "timeout") for _ in range(3)]
    due = sent(stage, customer, "timeout", state="due")

    assert walked(stage, customer, state="done") == [[done]]
    assert walked(stage, customer, state="due") == [[due]]
    assert walked(stage, customer, state="sending") == [[]]
    assert walked(stage, customer, state="parked", limit=2) == [parked[:0:-1], parked[:1]]
    assert walked(stage, customer, state="parked", limit=3) == [parked[::-1]]


def test_a_page_looks_at_so_many_events_and_goes_on_from_there(stage, customer, monkeypatch):
    monkeypatch.setattr(deliveries, "SCANNED", 3)
    rare = sent(stage, customer, None)
    for _ in range(7):
        sent(stage, customer, "timeout", state="due")

    assert walked(stage, customer, state="done", limit=1) == [[], [], [rare]]


def test_a_cursor_is_for_its_provider_and_its_list_only(stage, customer):
    for _ in range(3):
        sent(stage, customer, "timeout")
    walk = listed(stage, customer, limit=1).get_json()["next"]
    parked = listed(stage, customer, limit=1, state="parked").get_json()["next"]

    for query in ({"after": parked}, {"after": walk, "state": "parked"}, {"after": walk + "x"}, {"after": ""}):
        reply = listed(stage, customer, **query)
        assert (reply.status_code, members(reply)) == (422, ["after"]), query
    assert members(listed(stage, Customer(stage.services.database), after=walk)) == ["after"]


@pytest.mark.parametrize(
    ("query", "member"),
    [("state=eaten", "state"), ("state=", "state"), ("limit=0", "limit"), ("limit=201", "limit"), ("x=1", "x"),
     ("state=due&state=done", "state")],
)  # fmt: skip
def test_what_cannot_be_asked_of_deliveries_is_named(stage, customer, query, member):
    reply = stage.http.get(f"/v1/endpoints/{customer.endpoint_id}/deliveries?{query}", headers=customer.headers)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == [member]


@pytest.mark.parametrize("errors", [("timeout",), (None,)])
def test_a_callback_is_sent_again_from_the_schedules_start(stage, customer, errors):
    id_ = sent(stage, customer, *errors)
    was = state_of(stage, id_)[0]

    reply = resend(stage, customer, id_)

    assert (reply.status_code, reply.get_json()["state"]) == (200, "due")
    assert state_of(stage, id_) == ("due", 1, 1, True)
    assert actions(stage, id_) == [("callback.resend", customer.key_id, {"state": was}, {"state": "due"})]


def test_a_callback_that_waits_for_its_next_try_is_sent_now(stage, customer):
    id_ = sent(stage, customer, "timeout", state="due")
    assert state_of(stage, id_)[3] is False

    assert resend(stage, customer, id_).get_json()["state"] == "due"
    assert state_of(stage, id_) == ("due", 1, 1, True)


def test_a_callback_that_is_being_sent_stays_with_its_sender(stage, customer):
    id_ = sent(stage, customer)
    claim(stage, id_, 1)

    assert resend(stage, customer, id_).get_json()["state"] == "sending"
    assert state_of(stage, id_)[:3] == ("sending", 1, 0)


def test_nobody_sends_anothers_callback_again(stage, customer):
    id_ = sent(stage, customer, "timeout")

    assert is_problem(resend(stage, Customer(stage.services.database), id_), 404, "not_found")
    for wrong in ("x", "cb_", "cb_%00", "cb_" + "0" * 26 + "_1", "cb_" + "x" * 500):
        assert is_problem(resend(stage, customer, wrong), 404, "not_found"), wrong
    assert state_of(stage, id_)[0] == "parked"


def test_to_a_disabled_endpoint_nothing_is_sent_again(stage, customer):
    id_ = sent(stage, customer, "timeout")
    stage.rows("UPDATE endpoints SET disabled_at = now() WHERE endpoint_id = :id RETURNING 1", id=customer.endpoint_id)

    assert is_problem(resend(stage, customer, id_), 409, "endpoint_disabled")
    assert is_problem(recover(stage, customer), 409, "endpoint_disabled")
    assert recover(stage, customer, dryRun=True).get_json()["count"] == 1
    assert state_of(stage, id_)[0] == "parked"


def test_what_was_given_up_is_counted_and_then_sent_again(stage, customer, monkeypatch):
    rung = []
    monkeypatch.setattr(type(stage.services.doorbell), "ring", lambda _, job: rung.append(job))
    done = sent(stage, customer, None)
    waits = sent(stage, customer, "timeout", state="due")
    parked = [sent(stage, customer, "timeout") for _ in range(3)]

    counted = recover(stage, customer, dryRun=True).get_json()
    before = [state_of(stage, id_)[0] for id_ in parked]
    rung.clear()
    told = recover(stage, customer).get_json()

    assert counted == {"count": 3, "hasMore": False, "dryRun": True}
    assert before == ["parked"] * 3
    assert told == {"count": 3, "hasMore": False, "dryRun": False}
    assert [state_of(stage, id_) for id_ in parked] == [("due", 1, 1, True)] * 3
    assert (state_of(stage, done)[0], state_of(stage, waits)[3]) == ("done", False)
    assert rung == [jobs.DELIVER_CALLBACKS]
    assert recover(stage, customer).get_json()["count"] == 0
    ((action, actor, was, now),) = actions(stage, customer.endpoint_id)
    assert (action, actor, was, now["count"]) == ("callback.recover", customer.key_id, {"parked": 3}, 3)


def test_only_what_happened_in_the_range_is_sent_again(stage, customer):
    early, inside, late = (sent(stage, customer, "timeout") for _ in range(3))
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for id_, hours in ((early, -1), (inside, 0), (late, 1)):
        stage.rows(
            "UPDATE feed_events f SET occurred_at = :at FROM callbacks c"
            " WHERE c.event_id = f.event_id AND c.callback_id = :id RETURNING 1",
            at=noon + timedelta(hours=hours),
            id=id_,
        )

    told = recover(stage, customer, since="2026-03-01T12:00:00Z", until="2026-03-01T13:00:00Z").get_json()

    assert told["count"] == 1
    assert [state_of(stage, id_)[0] for id_ in (early, inside, late)] == ["parked", "due", "parked"]


def test_so_many_are_sent_again_at_once_the_oldest_first(stage, customer):
    parked = [sent(stage, customer, "timeout") for _ in range(3)]
    span = Span(customer.endpoint_id, datetime(2026, 1, 1, tzinfo=UTC), None)
    few = str(deliveries._RECOVER).replace(f"LIMIT {deliveries.MOST_RECOVERED}", "LIMIT 2")

    with stage.services.database.transaction() as connection:
        connection.execute(text(few), deliveries._asked(span))

    assert [state_of(stage, id_)[0] for id_ in parked] == ["due", "due", "parked"]


def test_another_endpoints_callbacks_are_not_recovered(stage, customer):
    other = Customer(stage.services.database)
    id_ = sent(stage, other, "timeout")

    assert recover(stage, customer).get_json()["count"] == 0
    assert state_of(stage, id_)[0] == "parked"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"since": None}, ["since"]), ({"since": "yesterday"}, ["since"]), ({"since": 1}, ["since"]),
        ({"since": "2026-01-01T00:00:00"}, ["since"]), ({"until": "x"}, ["until"]), ({"until": LONG_AGO}, ["since"]),
        ({"dryRun": "yes"}, ["dryRun"]), ({"dryRun": 1}, ["dryRun"]), ({"count": 1}, ["count"]),
        ({"since": SOON, "until": LONG_AGO}, ["since"]),
    ],
)  # fmt: skip
def test_what_cannot_be_recovered_is_named(stage, customer, body, named):
    reply = recover(stage, customer, **body)

    assert is_problem(reply, 422, "invalid_request")
    assert members(reply) == named


def test_what_is_no_object_or_no_json_is_refused(stage, customer):
    path = f"/v1/endpoints/{customer.endpoint_id}/recover"

    assert stage.http.post(path, json=[], headers=customer.headers).status_code == 422
    assert is_problem(stage.http.post(path, data=b"", headers=customer.headers), 400, "invalid_json")


@pytest.mark.parametrize("state", [None, *CallbackState])
def test_pages_of_deliveries_are_found_by_index_only(stage, customer, state):
    statement = deliveries._GIVEN_UP if state is CallbackState.PARKED else deliveries._WALK
    values = {
        "endpoint_id": customer.endpoint_id, "provider_id": customer.provider_id, "state": state or "", "limit": 1,
        "before": deliveries._LAST_ID if state is CallbackState.PARKED else 10, "scanned": 100, "wanted": 51,
    }  # fmt: skip
    with stage.services.database.statement() as connection:
        plan_each_time(connection)
        plan = "\n".join(connection.execute(text(f"EXPLAIN {statement.sql[0]}"), values).scalars())

    assert not [table for table in ("feed_events", "callbacks", "messages") if f"Seq Scan on {table}" in plan]
    if state is CallbackState.PARKED:
        assert "callbacks_given_up_idx" in plan
    else:
        assert "feed_events_provider_id_sequence_key" in plan
