"""What keeps phones from ringing too often holds for live messages only, and tests tell nothing of them."""

import pytest

from shared.db.queries import ends, quarantines, suppressions
from shared.db.queries.accept import SUPPRESSED
from shared.ids import new_id
from shared.lifecycle import Mode
from tests.integration.ingress_stage import Customer, basic, call, is_problem, staged

NUMBER = "+6562240001"
LIMIT = 3


@pytest.fixture(scope="module")
def the_door(database_url, redis_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with staged(database_url, redis_url, folder, number_limits=f"{LIMIT}/600", messages_per_minute=LIMIT) as stage:
        yield stage


@pytest.fixture
def door(the_door, database):
    """The door, for a provider that sent nothing yet."""
    the_door.customer = Customer(the_door.services.database)
    return the_door


@pytest.fixture
def test_key(door):
    key = door.http.post("/v1/keys", json={"mode": Mode.TEST}, headers=door.customer.headers).get_json()
    return basic(key["id"], key["secret"])


def send(door, headers, **members):
    return door.http.post("/api/make-call", json=call(customerPhone=NUMBER, **members), headers=headers)


def execute(door, statement, **values):
    door.services.database.run(lambda c: c.execute(ends.text(statement), values))


def test_tests_are_not_limited_and_leave_the_limits_to_live_messages(door, test_key):
    tests = [send(door, test_key) for _ in range(LIMIT + 2)]
    live = [send(door, door.customer.headers) for _ in range(LIMIT + 1)]

    assert [one.status_code for one in tests] == [200] * (LIMIT + 2)
    assert [one.status_code for one in live] == [200] * LIMIT + [429]


def test_a_test_passes_a_quarantine(door, test_key):
    values = {"provider_id": door.customer.provider_id, "masked": f"{NUMBER[:-4]}****", "country": "SG", "why": "seen"}
    key = door.services.sealer.destination_key(values["masked"])
    door.services.database.run(lambda c: quarantines.add(c, new_id("qua"), {**values, "key": key}, for_s=60))
    door.site.guards.quarantined.hurry()
    while (door.customer.provider_id, key) not in door.site.guards.quarantined.value:
        pass

    assert is_problem(send(door, door.customer.headers), 403, "prefix_quarantined")
    assert send(door, test_key).status_code == 200


def test_a_test_to_a_suppressed_number_is_told_of_no_block(door, test_key):
    key = door.services.sealer.destination_key(NUMBER)
    door.services.database.run(
        lambda c: suppressions.add(c, door.customer.provider_id, key, masked="+65****0001", reason="asked")
    )

    assert send(door, door.customer.headers).get_json()["data"]["warnings"] == [SUPPRESSED]
    assert send(door, test_key).get_json()["data"]["warnings"] == []


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_test_key_neither_sees_nor_changes_who_is_not_called(door, test_key, method):
    body = None if method == "GET" else {"number": NUMBER}

    reply = door.http.open("/v1/suppressions", method=method, json=body, headers=test_key)

    assert is_problem(reply, 403, "forbidden")
    assert door.count("suppressions") == 0


def test_outcomes_by_a_test_key_are_of_tests_and_count_for_nothing(door, test_key):
    live, tested = (send(door, headers).get_json()["data"]["id"] for headers in (door.customer.headers, test_key))
    execute(
        door,
        "UPDATE messages SET status = 'delivered', attempt = 1, finished_at = now(), due_at = NULL, content = NULL"
        " WHERE id IN (:live, :tested)",
        live=live, tested=tested,
    )  # fmt: skip
    execute(
        door,
        "INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts, occurred_at)"
        " VALUES (:event, :provider, 1, :id, 'message.delivered', 'delivered', '{}', now() - interval '20 s')",
        event=new_id("evt"), provider=door.customer.provider_id, id=tested,
    )  # fmt: skip

    def told(id_):
        return door.http.post(f"/v1/messages/{id_}/outcome", json={"verified": True}, headers=test_key)

    assert is_problem(told(live), 404, "not_found")
    assert told(tested).status_code == 200
    execute(door, "UPDATE outcomes SET reported_at = now() - interval '20 s'")
    door.services.database.run(ends.tally)
    assert [row.message_id for row in door.rows("SELECT message_id FROM outcomes")] == [tested]
    assert door.count("hourly_ends") == 0
