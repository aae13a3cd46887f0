"""What operators see and change: messages, callbacks, what was set aside, lanes."""

from __future__ import annotations

import json

import pytest

from shared.db.queries import claim, inbox
from shared.db.queries.pacing import open_pace
from shared.lifecycle import Lane
from shared.pacing import Pace
from tests.integration.cli_answers import as_json, execute


def callback_ids(database):
    return [row.callback_id for row in execute(database, "SELECT callback_id FROM callbacks ORDER BY callback_id")]


# messages


def test_a_message_is_found_by_either_id(ringpost, canceled):
    [id_] = canceled("OTP1")

    by_ours, by_theirs = (as_json(ringpost("messages", "show", key, "--json")) for key in (id_, "OTP1"))

    assert by_ours == by_theirs
    assert (by_ours["id"], by_ours["status"], by_ours["to"]) == (id_, "canceled", "+65****4567")
    assert by_ours["metadata"] == {"order_no": "7"}
    assert [event["type"] for event in by_ours["events"]] == ["message.accepted", "message.canceled"]
    assert [callback["state"] for callback in by_ours["callbacks"]] == ["due"]


def test_a_message_is_shown_to_people_with_the_reason_in_words(ringpost, canceled):
    [id_] = canceled("OTP1")

    shown = ringpost("messages", "show", "OTP1").stdout

    assert f"{id_}  canceled: The message for +65****4567 was canceled: the sender canceled the message;" in shown
    assert "https://bank.example/cb" in shown


def test_a_message_id_of_several_providers_asks_for_ours(ringpost, canceled):
    other = as_json(ringpost("providers", "create", "other", "--json"))["providerId"]
    first, second = canceled("OTP1") + canceled("OTP1", provider_id=other)

    result = ringpost("messages", "show", "OTP1")

    assert result.exit_code == 1
    assert first in result.stderr
    assert second in result.stderr


def test_an_unknown_message_is_said_so(ringpost):
    result = ringpost("messages", "show", "nothing")

    assert (result.exit_code, result.stderr) == (1, "there is no message 'nothing'\n")


# callbacks and what was set aside


def park_all(database):
    execute(database, "UPDATE callbacks SET state = 'parked', due_at = NULL, attempts = 10, finished_at = now()")


def test_a_parked_callback_is_listed_and_sent_again(ringpost, canceled, database):
    canceled("OTP1")
    park_all(database)
    [listed] = as_json(ringpost("parked", "list", "--json"))["callbacks"]

    result = ringpost("callbacks", "resend", listed["callbackId"])

    assert (listed["messageId"], listed["provider"], listed["attempts"]) == ("OTP1", "bank", 10)
    assert result.exit_code == 0
    assert execute(database, "SELECT state, failures_forgiven FROM callbacks").all() == [("due", 10)]


def test_a_callback_that_is_still_due_is_not_sent_again(ringpost, canceled, database):
    canceled("OTP1")
    [callback_id] = callback_ids(database)

    result = ringpost("callbacks", "resend", callback_id)

    assert result.exit_code == 1


def test_recovering_says_the_count_first_and_does_nothing_without_a_yes(ringpost, canceled, database):
    canceled("OTP1", "OTP2")
    park_all(database)
    asked = ["callbacks", "recover", "--provider", "bank", "--since", "2020-01-01T00:00:00Z"]

    declined = ringpost(*asked, answer="n\n")
    still_parked = execute(database, "SELECT count(*) FROM callbacks WHERE state = 'parked'").scalar()
    done = ringpost(*asked, "--yes")

    assert declined.stdout.startswith("2 parked callbacks")
    assert (declined.exit_code, still_parked) == (1, 2)
    assert done.stdout.endswith("2 callbacks are due again\n")
    assert execute(database, "SELECT count(*) FROM callbacks WHERE state = 'due'").scalar() == 2


def test_recovering_leaves_out_what_lies_outside_the_times(ringpost, canceled, database):
    canceled("OTP1")
    park_all(database)
    times = ["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"]

    result = ringpost("callbacks", "recover", "--provider", "bank", *times, "--yes")

    assert (result.exit_code, result.stdout[:1]) == (0, "0")


def test_a_time_without_an_offset_is_wrong_use(ringpost):
    result = ringpost("callbacks", "recover", "--provider", "bank", "--since", "yesterday")

    assert result.exit_code == 2
    assert result.stderr.startswith("--since: ")


@pytest.fixture
def kept_events(database):
    """One poison webhook (1), one of an unknown call session (2), one that merely waits (3)."""
    with database.transaction() as connection:
        inbox.keep(connection, [inbox.RawEvent(key, b"sealed") for key in ("a", "b", "c")])
    execute(
        database,
        "UPDATE webhook_inbox SET processed_at = now(), result = 'parked', attempts = 5 WHERE inbox_id = 1",
        "UPDATE webhook_inbox SET session_id = 'unknown', due_at = now() + interval '1 hour' WHERE inbox_id = 2",
    )


@pytest.mark.usefixtures("kept_events")
def test_webhooks_that_were_set_aside_are_listed_and_tried_again(ringpost, database):
    listed = as_json(ringpost("parked", "list", "--json"))["events"]

    result = ringpost("parked", "resend", "1", "2")

    assert [(event["inboxId"], event["state"]) for event in listed] == [(1, "parked"), (2, "unmatched")]
    assert result.exit_code == 0
    due = "SELECT count(*) FROM webhook_inbox WHERE processed_at IS NULL AND due_at <= now() AND attempts = 0"
    assert execute(database, due).scalar() == 3


@pytest.mark.usefixtures("kept_events")
def test_discarding_is_for_good_and_in_the_audit_log(ringpost, canceled, database):
    canceled("OTP1")
    park_all(database)
    [callback_id] = callback_ids(database)

    result = ringpost("parked", "discard", callback_id, "1", "2", "--yes")

    assert result.exit_code == 0
    assert as_json(ringpost("parked", "list", "--json")) == {
        "callbacks": [],
        "events": [],
        "messages": [],
        "doubtful": [],
        "undetermined": [],
        "spooled": [],
    }
    written = execute(database, "SELECT action FROM audit_log ORDER BY audit_id").scalars().all()
    assert written[-3:] == ["callback.discard", "event.discard", "event.discard"]
    assert as_json(ringpost("audit", "--json"))["ok"]


@pytest.mark.usefixtures("kept_events")
def test_one_id_that_is_not_set_aside_leaves_all_of_them_alone(ringpost, database):
    result = ringpost("parked", "discard", "1", "3", "--yes")

    assert (result.exit_code, result.stderr) == (1, "3 is not set aside; nothing is changed\n")
    assert execute(database, "SELECT count(*) FROM webhook_inbox WHERE result = 'discarded'").scalar() == 0


# lanes


def claimed(database, settings):
    pace = Pace(settings.eight_x_eight_subaccount_id, 50, 500, 30, 60)
    with database.transaction() as connection:
        open_pace(connection, pace.subaccount_id, 1)
    with database.transaction() as connection:
        return claim.claim(connection, pace, Lane.OTP, wanted=10, claim_id="c").calls


def test_a_paused_lane_is_not_dialled_until_it_is_resumed(ringpost, accepted, database, settings):
    accepted("OTP1")

    ringpost("lanes", "pause", "otp")
    while_paused = claimed(database, settings)
    ringpost("lanes", "resume", "otp")

    assert while_paused == []
    assert len(claimed(database, settings)) == 1


def test_an_unknown_lane_is_wrong_use(ringpost):
    assert ringpost("lanes", "pause", "fax").exit_code == 2


def test_the_settings_are_shown_with_where_they_come_from_and_without_secrets(ringpost, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("hush-and-quiet-be-it\n")
    monkeypatch.setenv("METRICS_TOKEN_FILE", str(tmp_path / "token"))

    told = ringpost("settings", "--json", REDIS_URL="redis://:hush@cache/0", EIGHT_X_EIGHT_API_KEY="hush")

    assert "hush" not in told.stdout.replace(str(tmp_path), "")
    by_name = {row["name"]: row for row in json.loads(told.stdout)}
    assert by_name["METRICS_TOKEN"] == {"name": "METRICS_TOKEN", "value": "***", "source": str(tmp_path / "token")}
    assert by_name["REDIS_URL"]["value"] == "redis://:***@cache/0"
    assert by_name["DIALS_PER_SECOND"]["value"] == 50
    assert by_name["EIGHT_X_EIGHT_API_KEY"] == {
        "name": "EIGHT_X_EIGHT_API_KEY", "value": "***", "source": "environment"
    }  # fmt: skip
    assert "***" in ringpost("settings").stdout
