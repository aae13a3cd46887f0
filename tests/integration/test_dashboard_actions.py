"""What operators do on the pages of the dashboard; each action is noted with who and why."""

import pytest

from shared import passwords
from shared.db.queries import processes
from shared.db.queries.processes import Process
from shared.operators import Role
from tests.integration.dashboard_stage import CHEAP, change, noted, parked_callback, signed_in
from tests.integration.ingress_stage import staged, submit


@pytest.fixture(scope="module", autouse=True)
def _cheap_hashes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "COST", CHEAP)
        yield


@pytest.fixture(scope="module")
def stage(_cheap_hashes, database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data"), dashboard_enabled=True) as stage:
        yield stage


@pytest.fixture
def operator(stage):
    browser = signed_in(stage, Role.OPERATOR)
    browser.act = lambda path, **form: browser.post(path, csrf=browser.csrf(), **form)
    return browser


@pytest.fixture
def admin(stage):
    browser = signed_in(stage, Role.ADMIN)
    browser.act = lambda path, **form: browser.post(path, csrf=browser.csrf(), **form)
    return browser


def test_an_operator_cancels_what_nobody_dials_yet(stage, operator):
    id_, dialed = submit(stage, stage.customer), submit(stage, stage.customer)
    change(stage, "UPDATE messages SET status = 'dialing' WHERE id = :id", id=dialed)

    assert 'aria-label="Cancel this message"' in operator.get(f"/messages/{id_}").text
    assert operator.act(f"/messages/{id_}/cancel").status_code == 303
    again, late = operator.act(f"/messages/{id_}/cancel"), operator.act(f"/messages/{dialed}/cancel")

    assert stage.row(stage.rows("SELECT message_id FROM messages WHERE id = :id", id=id_)[0][0]).status == "canceled"
    assert noted(stage, id_) == [(operator.name, "message.cancel", {"status": "canceled"})]
    assert (again.status_code, late.status_code) == (409, 409)
    assert "dialing" in late.text
    assert operator.act("/messages/msg_none/cancel").status_code == 404


def test_a_callback_is_sent_again_and_the_page_before_is_shown(stage, operator):
    id_ = submit(stage, stage.customer)
    callback = parked_callback(stage, id_, stage.customer.endpoint_id)

    done = operator.act(f"/callbacks/{callback}/resend", back=f"/dashboard/messages/{id_}")
    evil = operator.act(f"/callbacks/{callback}/resend", back="//evil.example/")

    assert (done.status_code, done.headers["Location"]) == (303, f"/dashboard/messages/{id_}")
    assert stage.rows("SELECT state FROM callbacks WHERE callback_id = :c", c=callback) == [("due",)]
    assert noted(stage, callback) == [(operator.name, "callback.resend", {"state": "due"})]
    assert evil.status_code == 409  # it is due already


def test_endpoints_show_who_fails_first_and_are_switched(stage, operator):
    endpoint = stage.customer.endpoint_id
    change(stage, "UPDATE endpoints SET failing_since = now(), last_failure = 'http_500' WHERE endpoint_id = :e",
           e=endpoint)  # fmt: skip

    listed = operator.get("/callbacks.json").get_json()["endpoints"]
    off = operator.act(f"/callbacks/{endpoint}/disable", reason="their wish")
    page = operator.get(f"/callbacks/{endpoint}").text
    on, again = operator.act(f"/callbacks/{endpoint}/enable"), operator.act(f"/callbacks/{endpoint}/enable")

    assert (listed[0]["endpointId"], listed[0]["lastFailure"]) == (endpoint, "http_500")
    assert "secret" not in listed[0]
    assert (off.status_code, on.status_code, again.status_code) == (303, 303, 409)
    assert "their wish" in page
    assert [one[1] for one in noted(stage, endpoint)] == ["endpoint.disable", "endpoint.enable"]
    assert operator.get("/callbacks/ep_none").status_code == 404


def test_recovering_counts_first(stage, operator):
    endpoint = stage.customer.endpoint_id
    change(stage, "DELETE FROM callbacks")
    for _ in range(3):
        parked_callback(stage, submit(stage, stage.customer), endpoint)
    asked = {"since": "2020-01-01T00:00"}

    counted = operator.act(f"/callbacks/{endpoint}/recover", **asked).text
    waiting = stage.rows("SELECT count(*) FROM callbacks WHERE state = 'parked'")[0][0]
    done = operator.act(f"/callbacks/{endpoint}/recover", count="3", since="2020-01-01T00:00:00Z").text

    assert "Send 3 again?" in counted
    assert waiting == 3
    assert "3 callbacks are due again" in done
    assert stage.rows("SELECT 1 FROM callbacks WHERE state = 'parked'") == []
    assert operator.act(f"/callbacks/{endpoint}/recover", since="yesterday").status_code == 422


def test_a_process_is_seen_and_drained(stage, operator):
    process = Process("proc_1", "place_calls.otp", "host", 42, "1.2.3", 50_000_000)
    beat = lambda: stage.services.database.run(lambda c: processes.beat(c, process), alone=True)  # noqa: E731

    before = beat()
    page = operator.get("/queues").text
    asked, again = operator.act("/processes/proc_1/drain"), operator.act("/processes/proc_1/drain")

    assert "48 MiB" in page
    assert (before, beat()) == (False, True)
    assert (asked.status_code, again.status_code) == (303, 409)
    assert noted(stage, "proc_1") == [(operator.name, "process.drain", {"draining": True})]


def test_what_is_parked_is_tried_again_or_given_up_with_a_reason(stage, operator):
    callback = parked_callback(stage, submit(stage, stage.customer), stage.customer.endpoint_id)
    for key in ("a", "b"):
        change(stage, "INSERT INTO webhook_inbox (dedupe_key, body, processed_at, result, attempts) VALUES"
               " (:k, '', now(), 'parked', 5)", k=key)  # fmt: skip
    first, second = [row[0] for row in stage.rows("SELECT inbox_id FROM webhook_inbox ORDER BY inbox_id")]

    page = operator.get("/parked").text
    silent = operator.act(f"/parked/callback/{callback}/discard")
    given_up = operator.act(f"/parked/callback/{callback}/discard", reason="the shop is gone")
    retried = operator.act(f"/parked/event/{first}/resend")
    dropped = operator.act(f"/parked/event/{second}/discard", reason="garbled")

    assert callback in page
    assert f"webhook {first} again" in page
    assert [one.status_code for one in (silent, given_up, retried, dropped)] == [422, 303, 303, 303]
    assert stage.rows("SELECT 1 FROM callbacks WHERE callback_id = :c", c=callback) == []
    assert noted(stage, callback) == [
        (operator.name, "callback.discard", {"state": "given up", "reason": "the shop is gone"})
    ]
    assert [one[1] for one in noted(stage, str(first)) + noted(stage, str(second))] == ["event.resend", "event.discard"]
    assert operator.act(f"/parked/event/{second}/discard", reason="again").status_code == 409
    assert operator.act("/parked/event/x/resend").status_code == 404
    assert operator.act(f"/parked/event/{first}/eat").status_code == 404


def test_a_stop_shows_its_cost_first_stands_and_is_ended(stage, operator):
    submit(stage, stage.customer)
    asked = {"scope": "country", "name": "sg", "reason": "a flood", "lasts": "1800"}

    cost = operator.act("/stops/preview", **asked).text
    none_yet = stage.rows("SELECT 1 FROM stops WHERE ended_at IS NULL")
    thrown = operator.act("/stops", **asked)
    listed = operator.get("/traffic").text
    errors = {"name": "XX"}, {"scope": "moon"}, {"reason": ""}, {"lasts": "9"}, {"scope": "provider", "name": "nobody"}
    wrong = [operator.act("/stops", **asked | one).status_code for one in errors]
    ended, again = (operator.act("/stops/end", scope="country", name="SG") for _ in range(2))

    assert "Stop country SG?" in cost
    assert "would have lost" in cost
    assert none_yet == []
    assert thrown.status_code == 303
    assert "a flood" in listed
    assert 'aria-label="Call country SG again"' in listed
    assert wrong == [422] * 5
    assert (ended.status_code, again.status_code) == (303, 409)
    assert [one[1] for one in noted(stage, "country SG")] == ["stop", "go"]


def test_an_admin_caps_a_provider_and_revokes_its_keys(stage, admin, operator):
    provider, key = stage.customer.provider_id, stage.customer.key_id

    capped = admin.act(f"/providers/{provider}/cap", calls="1000")
    page = admin.get("/providers").text
    wrong = admin.act(f"/providers/{provider}/cap", calls="many"), admin.act("/providers/none/cap", calls="1")
    forbidden = operator.act(f"/keys/{key}/revoke")
    back = admin.act(f"/providers/{provider}/cap", calls="default")

    assert (capped.status_code, back.status_code, forbidden.status_code) == (303, 303, 403)
    assert ">1000</td>" in page
    assert key in page
    assert [one.status_code for one in wrong] == [422, 404]
    assert (admin.name, "provider.cap", {"dailyCap": 1000}) in noted(stage, provider)
    assert admin.act("/keys/key_none/revoke").status_code == 409
