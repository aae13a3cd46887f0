"""What ``ringpost doctor`` examines: one function a part, each a list of findings with their remedy."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.commands.status import ask_redis
from deploy.commands.webhooks import shown_url, url_of

if TYPE_CHECKING:
    from shared.db.database import Database
    from shared.settings import Settings
    from shared.voice_api.client import VoiceApi, Webhook

_OLDEST_POSTGRES: Final = 14
_OLDEST_REDIS: Final = (6, 2)
#: Beyond this, deadlines that a provider computes would be off by too much; in seconds.
_CLOCK_LIMIT_S: Final = 2.0


class Grade(StrEnum):
    """How a check ended; only a failure stops Ringpost from doing its work."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing examined; *remedy* is one sentence, empty when all is well."""

    name: str
    grade: Grade
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> Check:
    """A check that found what it should."""
    return Check(name, Grade.OK, found)


def check_database(database: Database) -> list[Check]:
    """PostgreSQL answers, is new enough, has our schema and our time."""
    from shared.db import reports
    from shared.db.database import is_away
    from shared.db.migrate import pending

    try:
        with database.engine.connect() as connection:
            before = time.time()
            server = reports.server(connection)
            here = datetime.fromtimestamp((before + time.time()) / 2, UTC)
            missing = pending(connection)
    except Exception as error:
        if not is_away(error):
            raise
        remedy = "Start it with `ringpost up`, or correct DATABASE_URL; see deploy/runbook.md#database_away."
        return [Check("PostgreSQL", Grade.FAILURE, "does not answer", remedy)]
    offset_s = abs((server["clock"] - here).total_seconds())
    checks = [ok("PostgreSQL", f"version {server['version']}")]
    if server["major"] < _OLDEST_POSTGRES:
        remedy = f"Use PostgreSQL {_OLDEST_POSTGRES} or newer."
        checks = [Check("PostgreSQL", Grade.FAILURE, f"version {server['version']}", remedy)]
    schema = ok("schema", "at this version's head")
    if missing:
        schema = Check("schema", Grade.FAILURE, f"lacks {', '.join(missing)}", "Run `ringpost migrate`.")
    clock = ok("clock", f"{offset_s:.2f} s from PostgreSQL's")
    if offset_s > _CLOCK_LIMIT_S:
        remedy = "Synchronise both machines' clocks (NTP): signatures carry this one's time, deadlines PostgreSQL's."
        clock = Check("clock", Grade.FAILURE, f"{offset_s:.1f} s from PostgreSQL's", remedy)
    return [*checks, schema, clock]


def check_alarms(figures: Mapping[str, Any]) -> list[Check]:
    """Nothing rings; else each alarm with its place in the runbook. What is not known here, other checks tell."""
    from shared.alarms import ringing_alarms

    ringing = [
        Check(f"alarm {alarm.name}", Grade.WARNING, alarm.tell(figures), f"See {alarm.runbook}.")
        for alarm in ringing_alarms(figures)
    ]
    return ringing or [ok("alarms", "none rings")]


def check_redis(url: str) -> list[Check]:
    """Redis answers, is new enough, and never drops a doorbell to make room."""
    state = ask_redis(url)
    if not state.reachable:
        remedy = "Start it with `ringpost up`, or correct REDIS_URL; until then only the sweeper moves messages."
        return [Check("Redis", Grade.FAILURE, "does not answer", remedy)]
    version = ok("Redis", f"version {state.version}")
    numbers = tuple(int(part) for part in (state.version or "0").split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST_REDIS:
        version = Check("Redis", Grade.FAILURE, f"version {state.version}", "Use Redis 6.2 or Valkey 7.2, or newer.")
    policy = ok("Redis eviction", str(state.eviction_policy))
    if state.eviction_policy not in ("noeviction", None):
        remedy = "Set maxmemory-policy noeviction, so that doorbells are not dropped to make room."
        policy = Check("Redis eviction", Grade.WARNING, str(state.eviction_policy), remedy)
    return [version, policy]


def check_voice_api(settings: Settings, api: VoiceApi) -> list[Check]:
    """8x8 accepts the key, speaks the voice, knows the caller ids and where its webhooks go."""
    from shared.errors import VoiceApiError

    try:
        profiles = api.speech_profiles()
    except VoiceApiError as error:
        if error.http_status is None:
            remedy = "Let this machine reach EIGHT_X_EIGHT_BASE_URL, or correct it."
        else:
            remedy = "Correct EIGHT_X_EIGHT_API_KEY and EIGHT_X_EIGHT_SUBACCOUNT_ID."
        return [Check("8x8 account", Grade.FAILURE, error.reason, remedy)]
    voice = ok("8x8 voice", settings.default_voice)
    if profiles and settings.default_voice not in {profile.code for profile in profiles}:
        remedy = "Set DEFAULT_VOICE to one that `ringpost voices` lists."
        voice = Check("8x8 voice", Grade.FAILURE, f"{settings.default_voice} is unknown", remedy)
    account = ok("8x8 account", f"{settings.eight_x_eight_subaccount_id}, {len(profiles)} voices")
    return [account, voice, *_check_sources(settings, api), *_check_webhooks(settings, api)]


def _check_sources(settings: Settings, api: VoiceApi) -> list[Check]:
    """8x8 need not list every number that a subaccount may show, so an absent one is only a warning."""
    from shared.errors import VoiceApiError

    try:
        listed = str(api.numbers())
    except VoiceApiError as error:
        return [Check("8x8 caller ids", Grade.WARNING, error.reason, "Ask 8x8 whether OUTBOUND_PHONE_NUMBER is yours.")]
    absent = [source for source in settings.sources if source.removeprefix("+") not in listed]
    if absent:
        found = f"{', '.join(absent)} not among the subaccount's numbers"
        return [Check("8x8 caller ids", Grade.WARNING, found, "Ask 8x8 to allow it, or correct OUTBOUND_PHONE_NUMBER.")]
    return [ok("8x8 caller ids", ", ".join(settings.sources))]


def _check_webhooks(settings: Settings, api: VoiceApi) -> list[Check]:
    """VSS carries every outcome; VCA is needed for messages that a key press ends."""
    from shared.errors import VoiceApiError

    try:
        registered = {webhook.type: webhook for webhook in api.webhooks()}
    except VoiceApiError as error:
        return [Check("8x8 webhooks", Grade.FAILURE, error.reason, "Try again; without webhooks no outcome is known.")]
    return [
        _check_webhook(settings, "VSS", registered.get("VSS"), Grade.FAILURE),
        _check_webhook(settings, "VCA", registered.get("VCA"), Grade.WARNING),
    ]


def _check_webhook(settings: Settings, type_: str, webhook: Webhook | None, grade: Grade) -> Check:
    name = f"8x8 {type_} webhook"
    remedy = "Run `ringpost webhooks register`"
    purpose = "no outcome is known without it" if type_ == "VSS" else "`interruptible` messages need it"
    if webhook is None:
        return Check(name, grade, "not registered", f"{remedy}: {purpose}.")
    if not webhook.is_enabled or not webhook.has_auth_header:
        what = "has no secret" if webhook.is_enabled else "is disabled"
        return Check(name, grade, what, f"{remedy} --replace: {purpose}.")
    if settings.webhook_base_url is None:
        return Check(name, Grade.WARNING, shown_url(webhook.url), "Set WEBHOOK_BASE_URL, so that this can be compared.")
    if webhook.url != url_of(settings.webhook_base_url, type_, settings):
        what, correct = f"points at {shown_url(webhook.url)}", "WEBHOOK_BASE_URL and WEBHOOK_PATH_SECRET"
        return Check(name, grade, what, f"{remedy}, or correct {correct}: {purpose}.")
    return ok(name, shown_url(webhook.url))


def check_data_dir(data_dir: Path) -> list[Check]:
    """Webhooks can be spooled while PostgreSQL is away."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        probe = data_dir / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        remedy = "Make RINGPOST_DATA_DIR a folder that this user may write."
        return [Check("data folder", Grade.FAILURE, f"{data_dir}: {error.strerror}", remedy)]
    return [ok("data folder", str(data_dir))]


def check_settings(settings: Settings) -> list[Check]:
    """They are complete, else nobody came this far; what is legal but unwise is told."""
    checks = [ok("settings", "complete")]
    if settings.legacy_admin_auth:
        remedy = "Unset LEGACY_ADMIN_AUTH once every provider has a key of its own."
        checks.append(Check("legacy login", Grade.WARNING, "the webhook secret opens the API, too", remedy))
    if settings.trusted_proxies == 0 and (settings.webhook_base_url or "").startswith("https:"):
        remedy = "Set TRUSTED_PROXIES to the number of proxies in front; failed logins are held back by address."
        checks.append(Check("proxies", Grade.WARNING, "https ends in front, and no proxy is trusted", remedy))
    return checks


def failures(checks: Sequence[Check]) -> int:
    """How many checks failed."""
    return sum(check.grade is Grade.FAILURE for check in checks)
