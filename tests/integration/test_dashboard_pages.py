"""What the pages of the dashboard show; each has a twin for programs, and a command."""

import csv
import io

import pytest

from deploy.cli import COMMANDS
from ingress.dashboard import messages as message_pages
from ingress.dashboard.access import NEEDED
from ingress.dashboard.app import create_dashboard
from ingress.dashboard.pages import TWIN
from shared import passwords
from shared.db.queries import figures
from shared.operators import Role
from tests.integration.dashboard_stage import CHEAP, change, parked_callback, signed_in
from tests.integration.ingress_stage import staged, submit

#: Each page, and the command that tells and does the same.
COMMAND_OF = {
    "now.now": "status",
    "now.history": "status",
    "messages.listed": "messages",
    "messages.one": "messages",
    "callbacks.listed": "endpoints",
    "callbacks.one": "endpoints",
    "queues.listed": "processes",
    "set_aside.listed": "parked",
    "traffic.listed": "traffic",
    "senders.listed": "providers",
    "senders.sources": "senders",
    "audit_trail.entries": "audit-log",
    "setup.settings": "settings",
    "operators.listed": "operators",
}


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
def viewer(stage):
    return signed_in(stage)


def test_each_page_has_a_twin_and_a_command(stage):
    admin = signed_in(stage, Role.ADMIN)
    pages = {rule.endpoint: rule.rule for rule in create_dashboard(stage.site).url_map.iter_rules()}
    twins = {name.removesuffix(TWIN) for name in pages if name.endswith(TWIN)}

    assert twins == set(COMMAND_OF)
    assert {COMMAND_OF[name] for name in twins} <= set(COMMANDS)
    read = {name for name, rule in pages.items() if NEEDED.get(name.removesuffix(TWIN)) and rule.endswith(".json")}
    for name in sorted(read):
        if "<" in pages[name]:
            continue
        reply = admin.get(pages[name].removeprefix("/dashboard"))
        assert (reply.status_code, reply.content_type) == (200, "application/json"), name
        assert reply.get_json() is not None


def test_a_message_is_found_by_each_of_its_names(stage, viewer):
    id_ = submit(stage, stage.customer, messageId="FIND-ME")
    change(stage, "INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source,"
           " destination_key, valid_until, session_id) VALUES (:a, :m, 1, 'c', 's', '+65', 'k', now(), 'session-77')",
           a=f"att_{id_[4:]}_1", m=id_)  # fmt: skip

    for name in (id_, "FIND-ME", "session-77"):
        reply = viewer.get(f"/messages?q={name}")
        assert (reply.status_code, reply.headers["Location"]) == (303, f"/dashboard/messages/{id_}")
        (found,) = viewer.get(f"/messages.json?q={name}").get_json()["messages"]
        assert found["id"] == id_
    assert "None fits." in viewer.get("/messages?q=nobody").text


def test_the_list_filters_pages_and_says_what_is_wrong(stage, viewer):
    ids = [submit(stage, stage.customer, customerPhone="+6591110042") for _ in range(3)]
    other = submit(stage, stage.customer)

    shown = viewer.get("/messages?last4=0042&status=queued&country=sg&type=otp&mode=live").text
    wrong = viewer.get("/messages?last4=42")
    named = viewer.get(f"/messages.json?provider={stage.customer.provider_id}&last4=0042").get_json()["messages"]

    assert [id_ in shown for id_ in ids] == [True] * 3
    assert other not in shown
    assert "9111" not in shown
    assert (wrong.status_code, "last4 must be the last four digits" in wrong.text) == (422, True)
    assert [one["id"] for one in named] == ids[::-1]
    assert viewer.get("/messages.json?provider=nobody").get_json()["messages"] == []


def test_the_list_is_turned_page_by_page_without_a_gap(stage, viewer):
    ids = [submit(stage, stage.customer, customerPhone="+6591110077") for _ in range(120)]
    seen, path = [], "/messages.json?last4=0077"
    while path:
        page = viewer.get(path).get_json()
        seen += [one["id"] for one in page["messages"]]
        path = page["older"] and f"/messages.json?last4=0077&after={page['older']}"

    assert seen == ids[::-1]
    assert viewer.get("/messages?last4=0077&after=never-given").status_code == 422


def test_the_csv_is_safe_for_spreadsheets_and_says_when_it_is_cut(stage, viewer, monkeypatch):
    for number in range(3):
        submit(stage, stage.customer, customerPhone="+6591110088", messageId=f"=cmd{number}")
    whole = list(csv.reader(io.StringIO(viewer.get("/messages.csv?last4=0088").text)))
    monkeypatch.setattr(message_pages, "MOST_EXPORTED", 2)
    monkeypatch.setattr(message_pages, "_PIECE", 1)
    cut = list(csv.reader(io.StringIO(viewer.get("/messages.csv?last4=0088").text)))

    assert [row[2] for row in whole[1:]] == ["'=cmd2", "'=cmd1", "'=cmd0"]
    assert len(cut) == 4
    assert cut[-1][0].startswith("only the newest 2 are here")


def test_one_message_tells_its_way_and_nothing_secret(stage, viewer):
    id_ = submit(stage, stage.customer, message="Your secret is 8246.", customerPhone="+6591234567")

    page = viewer.get(f"/messages/{id_}").text
    twin = viewer.get(f"/messages/{id_}.json").get_json()

    assert "<strong>queued</strong>" in page
    assert "<strong>accepted</strong>" in page
    assert twin["explained"]["sentence"] in page
    assert twin["timeline"][0][1] == "accepted"
    for text in (page, str(twin)):
        assert "8246" not in text
        assert "91234567" not in text
    assert viewer.get("/messages/msg_none").status_code == 404
    assert 'aria-label="Cancel this message"' not in page


def test_deliveries_of_an_endpoint_show_each_try(stage, viewer):
    callback = parked_callback(stage, submit(stage, stage.customer), stage.customer.endpoint_id)
    change(stage, "INSERT INTO delivery_attempts (callback_id, number, started_at, elapsed_ms, http_status, reply)"
           " VALUES (:c, 1, now(), 12, 500, '<b>no</b>')", c=callback)  # fmt: skip

    page = viewer.get(f"/callbacks/{stage.customer.endpoint_id}?state=parked").text

    assert callback in page
    assert "HTTP 500, 12 ms" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page


def test_settings_are_shown_without_a_secret(stage, viewer):
    page = viewer.get("/settings").text

    assert "with every migration of this version" in page
    assert "OUTBOUND_PHONE_NUMBER" in page
    for name in ("eight_x_eight_api_key", "webhook_auth_token", "ringpost_data_key"):
        assert getattr(stage.site.settings, name).get_secret_value() not in page


def test_charts_draw_what_was_written_whoever_restarted_since(stage, viewer):
    stage.services.database.run(lambda c: figures.keep(c, {"waiting": {"otp": 3}, "dials": 7}), alone=True)

    told = viewer.get("/history.json?hours=6").get_json()

    assert {"waiting": {"otp": 3}, "dials": 7}.items() <= told[-1].items()


def test_the_audit_light_says_when_and_what(stage, viewer):
    clear = "DELETE FROM figures"
    change(stage, clear)
    nobody = viewer.get("/now").text
    for found, words in (({}, "Every message was accounted for"), ({"open_without_due": 2}, "open_without_due: 2")):
        change(stage, clear)
        stage.services.database.run(lambda c, found=found: figures.keep(c, {"audit": found}), alone=True)
        assert words in viewer.get("/now").text
    assert "Nobody has audited yet" in nobody
