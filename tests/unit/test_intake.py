"""From a checked request to the row that will be stored."""

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingress.intake import Intake
from ingress.problems import Problem
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode
from shared.sealing import Sealer
from shared.sending_rules import SendingRules, parse_quiet_hours
from shared.settings import Settings
from shared.times import rfc3339
from shared.voices import Voices

KEY = base64.b64encode(bytes(range(32))).decode()
GOOD = {"messageId": "OTP1", "customerPhone": "+6581234567", "message": "Hello"}
VOICES = Voices("en-US-BenjaminRUS", {})


@pytest.fixture
def intake(tmp_path):
    settings = Settings.load(
        _env_file=None,
        eight_x_eight_api_key="key",
        eight_x_eight_subaccount_id="shop_voice",
        outbound_phone_number="+6531580001,+6531580002",
        webhook_auth_token="test-webhook-token",
        ringpost_data_key=KEY,
        ringpost_data_dir=tmp_path,
    )
    return Intake(settings, Sealer(KEY), "SG")


def row_of(intake, countries=None, **members):
    body = GOOD | members
    owner = KeyOwner("key_1", b"", "prov_1", countries, {"https://shop.example/": "ep_1"})
    return intake.row(intake.read(body), intake.fingerprint(body), owner, VOICES)


def test_the_first_caller_id_is_the_default_and_any_may_be_chosen(intake):
    assert row_of(intake).source == "+6531580001"
    assert row_of(intake, **{"from": "+6531580002"}).source == "+6531580002"


def test_the_content_is_sealed_for_its_row_only(intake):
    row = row_of(intake, message="Code {code}", code="ab12".upper())

    content = json.loads(intake.sealer.unseal(row.content, row=row.id))

    assert content == {"destination": "+6581234567", "text": "Code A, B, 1, 2"}


def test_every_row_has_an_id_of_its_own_and_equal_bodies_one_fingerprint(intake):
    first, second = row_of(intake), row_of(intake)

    assert first.id != second.id
    assert first.fingerprint == second.fingerprint != row_of(intake, message="Hi").fingerprint


@pytest.mark.parametrize(
    ("members", "attempts", "spare"),
    [
        ({}, 2, 5),
        ({"type": "alert"}, 3, 5),
        ({"type": "notification"}, 2, 5),
        ({"redial": {"maxAttempts": 1}}, 1, 0),
        ({"redial": {"maxAttempts": 4}, "type": "alert"}, 4, 0),
    ],
)
def test_attempts_are_the_types_or_the_senders_own(intake, members, attempts, spare):
    row = row_of(intake, **members)

    assert (row.max_attempts, row.spare_attempts) == (attempts, spare)


@pytest.mark.parametrize(
    ("countries", "is_taken"), [(None, True), (("SG", "US"), True), (("US",), False), (("*",), True)]
)
def test_a_provider_calls_its_own_countries_or_the_caller_ids(intake, countries, is_taken):
    if is_taken:
        assert row_of(intake, countries).country == "SG"
        return
    with pytest.raises(Problem) as caught:
        row_of(intake, countries)

    assert caught.value.code == "country_not_allowed"


def test_a_moment_takes_the_place_of_the_lifetime(intake):
    moment = rfc3339(datetime.now(UTC) + timedelta(minutes=1))

    row = row_of(intake, expiresAt=moment)

    assert (rfc3339(row.expires_at), row.ttl_s) == (moment, None)


def test_everything_not_allowed_is_named_at_once(intake):
    with pytest.raises(Problem) as caught:
        row_of(
            intake,
            code="471",
            language="tlh",
            callbackUrl="https://elsewhere.example/",
            scheduledAt="2999-01-01T00:00:00Z",
        )

    assert [error.member for error in caught.value.errors] == ["message", "language", "scheduledAt", "callbackUrl"]


def test_what_is_too_far_ahead_or_too_late_the_databases_clock_says(intake):
    an_hour_ahead = replace(intake, now=lambda: time.time() + 3600)
    soon = rfc3339(datetime.now(UTC) + timedelta(minutes=1))

    assert row_of(intake, expiresAt=soon)
    with pytest.raises(Problem):
        row_of(an_hour_ahead, expiresAt=soon)


# Quiet hours


def quiet_row(intake, at, *, alerts=False, mode=Mode.LIVE, **members):
    rules = SendingRules(quiet_hours=parse_quiet_hours("22:00-08:00"), quiet_alerts=alerts)
    body = GOOD | members
    owner = KeyOwner("key_1", b"", "prov_1", None, {}, mode, rules)
    now = datetime.fromisoformat(at).timestamp()
    there = replace(intake, now=lambda: now)
    return there.row(there.read(body), there.fingerprint(body), owner, VOICES)


NIGHT = "2026-11-27T23:00:00+08:00"
MORNING = datetime(2026, 11, 28, tzinfo=UTC)


def test_a_notification_waits_for_the_end_of_the_quiet_hours_and_lives_from_then_on(intake):
    row = quiet_row(intake, NIGHT, type="notification", ttlSeconds=60)

    assert (row.scheduled_at, row.ttl_s, row.expires_at) == (MORNING, 60, None)
    assert row.warnings == ["scheduledAt: became 2026-11-28T00:00:00.000Z, the end of the quiet hours in SG."]


def test_a_test_rings_nobody_at_night_and_waits_for_no_morning(intake):
    assert quiet_row(intake, NIGHT, type="notification", mode=Mode.TEST).scheduled_at is None


@pytest.mark.parametrize(("kind", "alerts", "waits"), [
    ("otp", True, False), ("alert", False, False), ("alert", True, True), ("notification", False, True),
])  # fmt: skip
def test_who_keeps_quiet_hours_is_its_type_s_affair(intake, kind, alerts, waits):
    row = quiet_row(intake, NIGHT, type=kind, alerts=alerts)

    assert (row.scheduled_at == MORNING, bool(row.warnings)) == (waits, waits)


def test_by_day_nothing_waits_and_what_is_scheduled_into_the_night_does(intake):
    day = "2026-11-27T12:00:00+08:00"

    assert quiet_row(intake, day, type="notification").scheduled_at is None
    row = quiet_row(intake, day, type="notification", scheduledAt=NIGHT.replace("23:00", "22:30"))
    assert row.scheduled_at == MORNING


def test_a_deadline_within_the_quiet_hours_is_refused(intake):
    with pytest.raises(Problem) as caught:
        quiet_row(intake, NIGHT, type="notification", expiresAt="2026-11-28T00:00:10Z")

    assert (caught.value.code, caught.value.status) == ("quiet_hours", 422)
    assert quiet_row(intake, NIGHT, type="notification", expiresAt="2026-11-28T00:00:15Z").scheduled_at == MORNING
