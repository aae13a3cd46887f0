"""Settings: complete and sound, or no start; every problem named at once, no value shown."""

import base64

import pytest
from pydantic import SecretStr

from shared.secret_values import without_password
from shared.settings import SECRET_FIELDS, Settings, SettingsError

KEY = base64.b64encode(bytes(range(32))).decode()
REQUIRED = {
    "eight_x_eight_api_key": "api-key",
    "eight_x_eight_subaccount_id": "shop_voice",
    "outbound_phone_number": "+6531580001",
    "webhook_auth_token": "test-webhook-token",
    "ringpost_data_key": KEY,
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


def load(**settings):
    return Settings.load(_env_file=None, **REQUIRED | settings)


def problems(**settings):
    with pytest.raises(SettingsError) as caught:
        load(**settings)
    return str(caught.value).splitlines()


def test_everything_missing_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        Settings.load(_env_file=None)

    assert str(caught.value).splitlines() == [f"{name.upper()}: is required" for name in REQUIRED]


def test_the_environment_is_read_by_the_names_in_capitals(monkeypatch):
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("DIALS_PER_SECOND", "7.5")
    monkeypatch.setenv("ALLOWED_COUNTRIES", "SG, US,")
    monkeypatch.setenv("LEGACY_ADMIN_AUTH", "true")

    settings = Settings.load(_env_file=None)

    assert (settings.dials_per_second, settings.allowed_countries, settings.legacy_admin_auth) == (
        7.5,
        ("SG", "US"),
        True,
    )


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ("+6531580001", ("+6531580001",)),
        ("6531580001", ("+6531580001",)),
        ("+6531580001, 6531580002", ("+6531580001", "+6531580002")),
    ],
)
def test_caller_ids_are_read_with_or_without_a_plus(given, numbers):
    assert load(outbound_phone_number=given).sources == numbers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outbound_phone_number", ""),
        ("outbound_phone_number", " , "),
        ("outbound_phone_number", "RINGPOST"),
        ("webhook_auth_token", ""),
        ("webhook_auth_token", "  "),
        ("webhook_auth_token", "only-15-letters"),
        ("webhook_auth_token", "abababababababababab"),
        ("webhook_auth_token", "change-me-change-me-1"),
        ("webhook_auth_token", "your-webhook-secret-here"),
        ("webhook_auth_token_old", "short"),
        ("metrics_token", "short"),
        ("eight_x_eight_api_key", "your_api_key"),
        ("eight_x_eight_api_key", "<the key>"),
        ("eight_x_eight_api_key", "secret"),
        ("eight_x_eight_api_key", ""),
        ("ringpost_data_key", ""),
        ("ringpost_data_key", "no base64!"),
        ("ringpost_data_key", base64.b64encode(bytes(31)).decode()),
        ("ringpost_data_key", base64.b64encode(bytes(33)).decode()),
        ("ringpost_data_key", base64.b64encode(bytes(32)).decode()),
        ("ringpost_data_key", base64.b64encode(b"0123456789" * 3 + b"01").decode()),
        ("webhook_allowed_ips", "nowhere"),
        ("webhook_allowed_ips", "10.0.0.1/8"),
        ("callback_allowed_networks", "127.0.0.0/99"),
        ("callback_schedule", "5,soon"),
        ("callback_schedule", "5,-1"),
        ("port", 65536),
        ("port", -1),
        ("web_concurrency", 0),
        ("dials_per_second", 0),
        ("max_calls_in_flight", 0),
        ("message_max_length", 0),
        ("message_max_length", 3001),
        ("log_format", "xml"),
        ("log_level", "LOUD"),
        ("dial_senders", 0),
        ("dial_senders", 513),
        ("dial_timeout_seconds", 0),
        ("ring_seconds", 0),
        ("answer_seconds", 0),
        ("vss_grace_seconds", 0),
        ("export_interval_seconds", 0),
        ("sweep_interval_seconds", 0),
        ("callback_senders", 0),
        ("callback_endpoint_limit", 0),
        ("callback_timeout_seconds", 0),
        ("callback_connect_seconds", 0),
        ("breaker_seconds", 0),
        ("unmatched_event_seconds", 0),
        ("inbox_retention_seconds", 0),
    ],
)
def test_an_unsound_value_is_named_by_its_variable(name, value):
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name.upper()}: ")


def test_a_wrong_secret_is_not_shown():
    assert "hush" not in "".join(problems(ringpost_data_key="hush, hush"))


def test_a_lease_outlives_the_post_it_covers():
    (problem,) = problems(call_lease_seconds=9, dial_timeout_seconds=8)

    assert "CALL_LEASE_SECONDS must exceed DIAL_TIMEOUT_SECONDS by 2" in problem
    assert load(call_lease_seconds=10, dial_timeout_seconds=8).call_lease_seconds == 10


@pytest.mark.parametrize("name", ["webhook_auth_token_old", "database_url", "redis_url", "webhook_base_url"])
def test_empty_means_unset(name):
    assert getattr(load(**{name: ""}), name) is None


def test_lists_become_what_they_stand_for(tmp_path):
    settings = load(
        callback_allowed_networks="127.0.0.0/8,::1/128",
        webhook_allowed_ips="203.0.113.7",
        callback_schedule="0.5, 2",
        ringpost_data_dir=tmp_path,
    )

    assert [str(network) for network in settings.callback_networks] == ["127.0.0.0/8", "::1/128"]
    assert [str(network) for network in settings.webhook_networks] == ["203.0.113.7/32"]
    assert settings.callback_waits == (0.5, 2)
    assert settings.spool_dir == tmp_path / "spool"


def test_no_secret_shows_in_the_settings():
    shown = repr(
        load(
            webhook_auth_token="hush-hush-hush-1",
            eight_x_eight_api_key="hush-2",
            webhook_auth_token_old="hush-hush-hush-3",
        )
    )

    assert "hush" not in shown
    assert KEY not in shown


def test_countries_are_known_by_their_codes_in_any_case():
    (problem,) = problems(allowed_countries="sg,Singapore")

    assert "ALLOWED_COUNTRIES" in problem
    assert load(allowed_countries="sg, US").allowed_countries == ("SG", "US")
    assert load(allowed_countries="*").allowed_countries == ("*",)


@pytest.mark.parametrize("name", SECRET_FIELDS)
def test_a_secret_may_come_from_a_file(name, monkeypatch, tmp_path):
    secret = {
        "ringpost_data_key": KEY,
        "ringpost_data_key_old": KEY,
        "database_url": "postgresql://db/x",
        "redis_url": "redis://cache/0",
    }.get(name, "a-secret-of-some-length")
    (tmp_path / "secret").write_text(secret + "\n")
    monkeypatch.setenv(f"{name.upper()}_FILE", str(tmp_path / "secret"))

    settings = Settings.load(_env_file=None, **{key: value for key, value in REQUIRED.items() if key != name})

    found = getattr(settings, name)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == secret


def test_a_secret_from_two_places_or_from_none_that_can_be_read_is_refused(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("hush-hush-hush-hush")
    monkeypatch.setenv("METRICS_TOKEN_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("WEBHOOK_AUTH_TOKEN_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("WEBHOOK_AUTH_TOKEN", "hush-hush-hush-hush")

    absent, doubled = sorted(problems())

    assert absent == f"METRICS_TOKEN_FILE: {tmp_path}/absent cannot be read: No such file or directory"
    assert doubled == "WEBHOOK_AUTH_TOKEN_FILE: WEBHOOK_AUTH_TOKEN is set, too; keep one of the two"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db:5432/ringpost", "postgresql://db:5432/ringpost"),
        ("postgresql://user:hush@db/ringpost?sslmode=require", "postgresql://user:***@db/ringpost?sslmode=require"),
        ("postgresql://user@db/ringpost?password=hush", "postgresql://user@db/ringpost?***"),
        ("redis://:hush@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://[hush", "***"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "secret", ["a/b/c/d/e/f/g/h/i/j", "0123456789abcdef?x", "0123456789abcdef%2f", "..", "2short", "a" * 129]
)
def test_a_path_secret_is_one_segment_and_hard_to_guess(secret):
    (problem,) = problems(webhook_path_secret=secret)

    assert problem.startswith("WEBHOOK_PATH_SECRET: ")
    assert secret not in problem


def test_an_empty_path_secret_is_none():
    assert load(webhook_path_secret="").webhook_path_secret is None


@pytest.mark.parametrize(("value", "kept"), [("", None), ("  ", None), ("http://c:4318", "http://c:4318")])
def test_the_collector_of_traces_is_a_web_address_or_none(value, kept):
    assert load(otel_exporter_otlp_endpoint=value).otel_exporter_otlp_endpoint == kept


def test_a_collector_of_another_kind_is_refused_at_the_start():
    assert problems(otel_exporter_otlp_endpoint="collector:4317") == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: needs a URL that begins with http:// or https://"
    ]
