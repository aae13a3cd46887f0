"""Ledger, exports, registrations, settings and countries of the simulator."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from deploy.simulator.call import Call
from deploy.simulator.exports import COLUMNS, ExportError, as_csv, new_job
from deploy.simulator.faults import FaultError
from deploy.simulator.ledger import Entry, Ledger, WebhookAttempt
from deploy.simulator.settings import SimulatorSettings, SimulatorSettingsError
from deploy.simulator.validation import Callflow
from deploy.simulator.voices import SPEECH_PROFILES, calling_code_of, country_of
from deploy.simulator.webhooks import Answer, Webhook, webhook_from

USUAL_LANGUAGES = {
    *("en", "es", "fr", "de", "pt", "it", "id", "ms"),
    *("th", "vi", "zh", "ja", "ko", "hi", "ta", "ar"),
}
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


def an_entry(session_id="s1", **changes):
    facts = {
        "accepted_at": NOON,
        "destination": "+6581234567",
        "source": "+6531580001",
        "session_id": session_id,
        "client_request_id": f"att_{session_id}",
        "behaviour": "completed",
        "body": b'{"callflow": []}',
    }
    return Entry(**facts | changes)


def a_call(minutes_ago=5, **changes):
    callflow = Callflow(source="+6531580001", destination="+14155550100", actions=[])
    facts = {
        "callflow": callflow,
        "subaccount_id": "acme",
        "accepted_at": NOON - timedelta(minutes=minutes_ago),
    }
    return Call(**facts | {"session_status": "BUSY", "now_s": 4.0} | changes)


def test_the_ledger_tells_destinations_dialled_twice_refusals_and_statuses():
    ledger = Ledger()
    for entry in (
        an_entry("s1"),
        an_entry("s2"),
        an_entry("s3", destination="+1415", client_request_id="att_s1"),
    ):
        ledger.accept(entry)
    ledger.accept(an_entry("in", is_inbound=True))
    ledger.end(ledger.entries[0], "BUSY")
    ledger.refuse(-1014)
    ledger.refuse(-1014)

    assert ledger.summary() == {
        "accepted": 3,
        "refused": {"-1014": 2},
        "destinationsDialledMoreThanOnce": {"+6581234567": 2},
        "clientRequestIdsSeenMoreThanOnce": {"att_s1": 2},
        "sessionsByStatus": {"BUSY": 1, "RUNNING": 2},
    }


def test_the_ledger_keeps_the_body_as_received_and_every_webhook():
    ledger = Ledger()
    entry = an_entry()
    ledger.accept(entry)
    ledger.sent(entry, WebhookAttempt("VSS", NOON, 503))
    ledger.sent(entry, WebhookAttempt("VSS", NOON, 200))

    shown = ledger.of("+6581234567")[0].as_json()

    assert shown["body"] == {"callflow": []}
    assert shown["webhooks"][0] == {"type": "VSS", "sentAt": "2026-10-05T12:00:00.000Z", "cameBack": 503}
    assert entry.came_back("VSS") == [503, 200]


def test_waiting_for_the_ledger_ends_without_success_when_nothing_happens():
    assert not Ledger().wait_for(lambda ledger: bool(ledger.entries), 0.01)


def test_an_export_is_queued_then_running_then_done():
    job = new_job({"from": "2026-10-05T00:00:00Z", "to": "2026-10-05T14:00:00+01:00"}, [a_call()], now=NOON)

    looks = [job.as_json("http://x.test/1.csv") for _ in range(4)]

    assert [look["status"] for look in looks] == ["queued", "running", "succeeded", "succeeded"]
    assert looks[2]["data"] == ["http://x.test/1.csv"]
    assert looks[2]["expires"] == "2026-11-04T12:00:00Z"


def test_an_export_of_nothing_is_empty_and_a_cancelled_one_is_cancelled():
    empty, cancelled = new_job({}, [], now=NOON), new_job({}, [a_call()], now=NOON)
    cancelled.is_cancelled = True

    statuses = [empty.as_json("")["status"] for _ in range(3)]

    assert statuses[-1] == "empty"
    assert cancelled.as_json("")["status"] == "cancelled"


@pytest.mark.parametrize(
    ("body", "minutes"),
    [
        ({"from": "2026-10-05T11:00:00Z", "to": "2026-10-05T12:00:00Z"}, [30, 5]),
        ({"from": "2026-10-05T11:00:00Z", "to": "2026-10-05T12:00:00Z", "limit": 1}, [30]),
        ({"from": "2026-10-05T11:45:00Z", "to": "2026-10-06"}, [5]),
        ({"from": "2026-10-05"}, []),
        ({}, [24 * 60]),
    ],
)
def test_an_export_takes_the_calls_of_its_period(body, minutes):
    calls = {ago: a_call(ago) for ago in (24 * 60, 30, 5)}

    job = new_job(body, list(calls.values()), now=NOON)

    assert job.calls == [calls[ago] for ago in minutes]


@pytest.mark.parametrize("body", [[], None, {"from": "yesterday"}, {"to": 5}, {"limit": -1}, {"limit": "all"}])
def test_an_unreadable_export_request_is_refused(body):
    with pytest.raises(ExportError):
        new_job(body, [], now=NOON)


def test_the_csv_has_the_documented_columns_and_no_client_request_id():
    answered = a_call(connected_s=2.0, now_s=9.5, session_status="COMPLETED")

    rows = list(csv.DictReader(io.StringIO(as_csv([a_call(), answered]))))

    assert tuple(rows[0]) == COLUMNS
    assert len(COLUMNS) == 35
    assert "ClientRequestId" not in COLUMNS
    assert (rows[0]["SipStatus"], rows[0]["ConnectedAt"], rows[0]["DurationInSec"]) == ("486", "", "0")
    assert (rows[1]["SipStatus"], rows[1]["DurationInSec"], rows[1]["DestinationCountryCode"]) == (
        "200",
        "7",
        "1",
    )


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (None, "type:"),
        ({"type": "XYZ", "url": "https://x.test"}, "type:"),
        ({"type": "VSS"}, "url:"),
        ({"type": "VSS", "url": "ftp://x.test"}, "url:"),
        ({"type": "VSS", "url": "https://x.test", "httpAuthHeader": 5}, "httpAuthHeader:"),
        ({"type": "VSS", "url": "https://x.test", "enabled": "yes"}, "enabled:"),
    ],
)
def test_a_bad_registration_says_what_is_wrong(body, complaint):
    assert str(webhook_from(body)).startswith(complaint)


def test_a_registration_is_enabled_unless_it_says_otherwise_and_hides_its_secret():
    webhook = webhook_from({"type": "VSS", "url": "https://x.test", "httpAuthHeader": "Bearer s", "active": False})

    assert webhook == Webhook(kind="VSS", url="https://x.test", auth_header="Bearer s", is_enabled=True)
    assert webhook.as_json() == {
        "type": "VSS",
        "url": "https://x.test",
        "enabled": True,
        "httpAuthHeaderAvailable": True,
    }


@pytest.mark.parametrize(("came_back", "is_ok"), [(200, True), (204, True), (302, False), (503, False), ("X", False)])
def test_only_a_2xx_takes_a_summary(came_back, is_ok):
    assert Answer(NOON, came_back).is_ok is is_ok


def test_settings_come_from_json_with_lists_as_sets():
    settings = SimulatorSettings.from_json({"caller_ids": ["+65"], "time_scale": 0.1, "faults": {"vss_dropped": True}})

    assert settings.caller_ids == frozenset({"+65"})


@pytest.mark.parametrize(
    ("values", "error", "complaint"),
    [
        ({"timescale": 1}, SimulatorSettingsError, "unknown setting timescale; known are api_key"),
        ({"time_scale": -1}, SimulatorSettingsError, "time_scale"),
        ({"caller_ids": ["65"]}, SimulatorSettingsError, "caller_ids"),
        ({"faults": {"x": True}}, FaultError, "unknown fault x"),
    ],
)
def test_unusable_settings_are_named(values, error, complaint):
    with pytest.raises(error, match=complaint):
        SimulatorSettings.from_json(values)


def test_settings_do_not_show_the_key():
    assert "secret" not in repr(SimulatorSettings(api_key="secret"))


@pytest.mark.parametrize(
    ("number", "country", "code"),
    [
        ("+6581234567", "SG", 65),
        ("+14155550100", "US", 1),
        ("+85291234567", "HK", 852),
        ("+999123", None, None),
    ],
)
def test_a_numbers_country_follows_its_calling_code(number, country, code):
    assert (country_of(number), calling_code_of(number)) == (country, code)


def test_a_caller_id_in_letters_has_no_country():
    assert country_of("+Acme") is None


def test_the_voices_cover_the_samples_and_the_usual_languages():
    codes = [profile["speechProfileCode"] for profile in SPEECH_PROFILES]
    languages = {profile["localeCode"].split("-")[0] for profile in SPEECH_PROFILES}

    assert {"en-US-BenjaminRUS", "en-US-ZiraRUS", "en-IE-EmilyNeural", "en-GB-Emma"} <= set(codes)
    assert languages >= USUAL_LANGUAGES
    assert len(codes) == len(set(codes)) >= 30
