"""The commands that talk to 8x8, against the simulator."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from shared.db.queries import failover, moves
from shared.lifecycle import Event, Move

BASE = "https://otp.example.com"
URLS = {"VSS": f"{BASE}/api/webhooks/vss", "VCA": f"{BASE}/api/webhooks/vca"}


@pytest.fixture
def simulator():
    """An account without any registration."""
    with Simulator(SimulatorSettings(api_key="test-api-key", subaccount_id="test_voice")) as simulator:
        yield simulator


@pytest.fixture
def at_8x8(ringpost, simulator):
    """The command line with the simulator in 8x8's place."""

    def run(*arguments, **environment):
        known = {"EIGHT_X_EIGHT_BASE_URL": simulator.url, "WEBHOOK_BASE_URL": BASE} | environment
        return ringpost(*arguments, **known)

    return run


def registered(at_8x8):
    return {webhook["type"]: webhook["url"] for webhook in json.loads(at_8x8("webhooks", "show", "--json").stdout)}


def checks(at_8x8, **environment):
    result = at_8x8("doctor", "--json", **environment)
    report = json.loads(result.stdout)
    assert result.exit_code == (0 if report["ok"] else 1)
    return {check["name"]: check for check in report["checks"]}


# webhooks and voices


def test_registering_points_both_webhooks_here(at_8x8):
    result = at_8x8("webhooks", "register")

    assert result.exit_code == 0
    assert registered(at_8x8) == URLS


def test_who_changes_what_8x8_knows_is_noted(at_8x8, ringpost, database):
    at_8x8("webhooks", "register")
    at_8x8("webhooks", "remove", "VCA", "--yes")

    noted = json.loads(ringpost("audit-log", "--action", "webhook", "--json").stdout)
    away = at_8x8("webhooks", "remove", "--yes", DATABASE_URL="postgresql://127.0.0.1:1/nowhere")

    assert [(row["action"], set(row["before"]), set(row["after"])) for row in noted] == [
        ("webhook.remove", {"VSS", "VCA"}, {"VSS"}),
        ("webhook.register", set(), {"VSS", "VCA"}),
    ]
    assert (away.exit_code, "not noted" in away.stderr) == (0, True)
    assert registered(at_8x8) == {}


def test_what_is_registered_already_stays_and_what_is_wrong_is_replaced(at_8x8, simulator):
    simulator.register_webhook("VSS", URLS["VSS"], "secret")
    simulator.register_webhook("VCA", "https://old.example/vca", "secret")

    result = at_8x8("webhooks", "register")

    assert result.stdout.splitlines() == [
        f"VSS -> {URLS['VSS']} (was registered already)",
        f"VCA -> {URLS['VCA']}",
    ]
    assert registered(at_8x8) == URLS


def test_registering_without_an_address_is_wrong_use(at_8x8):
    result = at_8x8("webhooks", "register", WEBHOOK_BASE_URL="")

    assert result.exit_code == 2
    assert result.stderr.startswith("--base-url or WEBHOOK_BASE_URL: ")


def test_removing_leaves_nothing_registered(at_8x8):
    at_8x8("webhooks", "register")

    result = at_8x8("webhooks", "remove", "--yes")

    assert result.exit_code == 0
    assert registered(at_8x8) == {}


def test_voices_are_listed_by_language(at_8x8):
    listed = json.loads(at_8x8("voices", "--language", "en", "--json").stdout)

    assert {"language": "en-US", "voice": "en-US-BenjaminRUS", "gender": "M"} in listed
    assert {voice["language"][:3] for voice in listed} == {"en-"}


def test_a_refused_key_is_one_line(at_8x8):
    result = at_8x8("voices", EIGHT_X_EIGHT_API_KEY="wrong")

    assert result.exit_code == 1
    assert result.stderr.startswith("8x8 said: ")
    assert len(result.stderr.splitlines()) == 1


# doctor


def test_the_doctor_finds_nothing_when_all_is_well(at_8x8):
    at_8x8("webhooks", "register")

    found = checks(at_8x8, TRUSTED_PROXIES="1")

    away = {"alarm sweeper_silent", "alarm consumer_missing"}  # no process runs beside
    assert {name: check["found"] for name, check in found.items() if check["grade"] != "ok" and name not in away} == {}
    assert {found[name]["remedy"] for name in away} == {
        "See deploy/runbook.md#sweeper_silent.", "See deploy/runbook.md#consumer_missing."
    }  # fmt: skip
    assert {"settings", "PostgreSQL", "schema", "clock", "Redis", "8x8 account", "data folder"} <= set(found)


@pytest.mark.parametrize(
    ("environment", "name", "grade"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}, "PostgreSQL", "failure"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis", "failure"),
        ({"EIGHT_X_EIGHT_API_KEY": "wrong"}, "8x8 account", "failure"),
        ({"EIGHT_X_EIGHT_BASE_URL": "http://127.0.0.1:1"}, "8x8 account", "failure"),
        ({"DEFAULT_VOICE": "en-US-Jenny"}, "8x8 voice", "failure"),
        ({"OUTBOUND_PHONE_NUMBER": "+6531580009"}, "8x8 caller ids", "warning"),
        ({"WEBHOOK_BASE_URL": "https://other.example"}, "8x8 VSS webhook", "failure"),
        ({"WEBHOOK_BASE_URL": "https://other.example"}, "8x8 VCA webhook", "warning"),
        ({"WEBHOOK_BASE_URL": ""}, "8x8 VSS webhook", "warning"),
        ({"RINGPOST_DATA_DIR": "/dev/null/data"}, "data folder", "failure"),
        ({"LEGACY_ADMIN_AUTH": "true"}, "legacy login", "warning"),
        ({"TRUSTED_PROXIES": "0"}, "proxies", "warning"),
    ],
)
def test_the_doctor_says_what_is_wrong_and_what_to_do(at_8x8, environment, name, grade):
    at_8x8("webhooks", "register")

    check = checks(at_8x8, **environment)[name]

    assert check["grade"] == grade
    assert check["remedy"].endswith(".")


def test_the_doctor_misses_webhooks_that_nobody_registered(at_8x8):
    found = checks(at_8x8)

    assert found["8x8 VSS webhook"]["grade"] == "failure"
    assert found["8x8 VCA webhook"]["grade"] == "warning"


def test_the_doctor_finds_a_webhook_without_a_secret(at_8x8, simulator):
    simulator.register_webhook("VSS", URLS["VSS"], None)

    assert checks(at_8x8)["8x8 VSS webhook"]["found"] == "has no secret"


def test_the_doctor_finds_a_database_without_its_tables(at_8x8, engines):
    url = engines.postgres.create_database("doctor_unmigrated")

    schema = checks(at_8x8, DATABASE_URL=url)["schema"]

    assert (schema["grade"], schema["remedy"]) == ("failure", "Run `ringpost migrate`.")


def test_the_doctor_names_what_was_set_aside_and_what_to_do(at_8x8, canceled, database, settings):
    canceled("OTP1", "OTP2")
    parked = "state = 'parked', due_at = NULL, attempts = 10, finished_at = now()"
    event = "('parked', '', now(), 'parked')"
    with database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE callbacks SET {parked}")
        connection.exec_driver_sql(f"INSERT INTO webhook_inbox (dedupe_key, body, processed_at, result) VALUES {event}")
    settings.spool_dir.mkdir(parents=True)
    (settings.spool_dir / "spool_1.5.parked").write_text("line")
    registered_before = registered(at_8x8)

    found = checks(at_8x8)

    assert registered_before == {}
    told = {name: check["found"] for name, check in found.items() if name.startswith(("held", "parked"))}
    assert told == {
        "held messages": "none",
        "parked callbacks": "2",
        "parked webhooks": "1",
        "parked spool": "1: spool_1.5.parked",
    }
    assert "ringpost callbacks recover" in found["parked callbacks"]["remedy"]
    assert "ringpost parked resend NUMBER" in found["parked webhooks"]["remedy"]
    assert "ringpost parked resend FILE" in found["parked spool"]["remedy"]
    assert found["held messages"]["remedy"] == ""


def test_the_doctor_names_messages_held_after_a_failover(at_8x8, accepted, database):
    accepted("OTP1", "OTP2", "OTP3")
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE messages SET created_at = '2000-01-01'")  # before this server began
        for row in failover.hold(
            connection, "queued", found_at=datetime.now(UTC) + timedelta(days=1), subaccount_id="test_voice", page=2
        ):
            moves.apply(connection, [Move(row.id, Event.HISTORY_LOST, reason="history_lost", due_at=row.deadline)])

    check = checks(at_8x8)["held messages"]

    assert (check["grade"], check["found"].partition(", the next until ")[0]) == ("warning", "2 otp; 2 still in time")
    assert "ringpost failover release" in check["remedy"]
