"""
Every choice an operator has. Read once at a process's front door, then passed on; nothing else reads the environment.

``.env.example`` and the README's table are generated from this class, and tests compare them.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from shared import secret_values
from shared.settings_rules import SettingsRules

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Words = Annotated[tuple[str, ...], NoDecode]

#: What may also come from a file, as NAME_FILE.
SECRET_FIELDS: Final = (
    "eight_x_eight_api_key",
    "webhook_auth_token",
    "webhook_auth_token_old",
    "webhook_path_secret",
    "metrics_token",
    "ringpost_data_key",
    "ringpost_data_key_old",
    "database_url",
    "redis_url",
)


class SettingsError(Exception):
    """The environment is incomplete or wrong; the text names every problem, a line each."""


class Settings(SettingsRules):
    """One field per environment variable, whose name is the field's in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_file=".env", hide_input_in_errors=True)

    eight_x_eight_api_key: SecretStr = Field(description="Key of the 8x8 subaccount.")
    eight_x_eight_subaccount_id: str = Field(description="The 8x8 subaccount that places the calls.")
    outbound_phone_number: Words = Field(description="Caller ids in E.164, comma-separated; the first is the default.")
    eight_x_eight_base_url: str = Field("https://voice.8x8.com", description="8x8's Voice API.")
    eight_x_eight_export_url: str = Field("https://voice.wavecell.com", description="8x8's log export API.")
    webhook_auth_token: SecretStr = Field(description="Secret that 8x8 sends with each webhook.")
    webhook_auth_token_old: SecretStr | None = Field(
        None, description="The secret before, accepted too while it is being rotated."
    )
    webhook_path_secret: SecretStr | None = Field(
        None,
        description="Secret part of the webhooks' address, /api/webhooks/<it>/vss; unset: none. After a change, run"
        " `ringpost webhooks register`.",
    )
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token that opens `GET /metrics`; unset: there is no such address."
    )
    webhook_allowed_ips: Words = Field((), description="Networks that webhooks may come from; empty: any.")
    trusted_proxies: int = Field(
        0, ge=0, le=9, description="Proxies before the ingress, each appending to X-Forwarded-For; 0: it is not read."
    )
    webhook_base_url: str | None = Field(
        None, description="Public address of this service, for `ringpost webhooks register`."
    )
    database_url: str | None = Field(None, description="postgresql://…; unset: the embedded PostgreSQL.")
    redis_url: str | None = Field(None, description="redis://…; unset: the embedded Valkey.")
    ringpost_data_key: SecretStr = Field(description="32 random bytes in base64; encrypts texts and numbers.")
    ringpost_data_key_old: SecretStr | None = Field(
        None,
        description="Another data key, only read with, while the key is being changed: `ringpost keys new-data`.",
    )
    ringpost_data_dir: Path = Field(Path(".ringpost"), description="Embedded engines, webhook spool, signs of life.")
    host: str = Field("127.0.0.1", description="Address that the ingress listens on.")
    port: int = Field(5678, ge=0, le=65535, description="Port that the ingress listens on.")
    web_concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Ingress processes; default: one a core.",
    )
    dials_per_second: float = Field(50, gt=0, description="Callflows a second at most; 429 slows them down.")
    max_calls_in_flight: int = Field(500, ge=1, description="Calls up at once at most; -2010 makes them fewer.")
    provider_daily_calls: int = Field(
        100_000,
        ge=0,
        description="Calls a provider may make in a day (UTC), redials too, unless `ringpost providers cap` says"
        " otherwise: a stolen key cannot run up the bill without end.",
    )
    daily_calls: int | None = Field(
        None, ge=0, description="Calls that all providers together may make in a day (UTC); unset: any number."
    )
    callback_allowed_networks: Words = Field(
        (), description="Private networks that callbacks may reach, e.g. 127.0.0.0/8; http is allowed there."
    )
    allowed_countries: Words = Field(
        (), description="Countries (ISO alpha-2) for new providers; default: the caller id's; * opens all."
    )
    denied_prefixes: Words = Field(
        (),
        description="How numbers begin that are never called, in E.164, comma-separated, e.g. +2357,+88. Premium-rate,"
        " shared-cost, personal, pager, UAN, voicemail and satellite numbers are refused without being listed.",
    )
    number_limits: str = Field(
        "3/600,10/86400",
        description="Messages that one provider may send to one number, each as count/seconds; empty: any.",
    )
    messages_per_minute: int = Field(0, ge=0, description="Messages that one provider may send in a minute; 0: any.")
    prefix_per_hour: int = Field(
        20_000,
        ge=0,
        description="Messages that one provider may send in an hour to one range, the numbers that differ in their last"
        " four digits only; 0: any.",
    )
    detection: str = Field(
        "usual",
        pattern="^(usual|strict|off)$",
        description="What quarantines a range of numbers: usual, one that is called in sequence or much more than"
        " others and whose calls end badly; strict, the sequence alone, too; off, nothing.",
    )
    quarantine_seconds: float = Field(86400, gt=0, description="How long a range stays in quarantine unless released.")
    legacy_admin_auth: bool = Field(False, description="Accept the demo's login admin:WEBHOOK_AUTH_TOKEN.")
    auth_failures_per_minute: int = Field(
        30, ge=1, description="Failed logins a minute from one address, and with one key; then they get 429, unread."
    )
    dashboard_enabled: bool = Field(
        False,
        description="Serve the operators' pages at /dashboard, over https (or http to this machine alone); who may is"
        " told by `ringpost operators`.",
    )
    dashboard_allowed_ips: Words = Field(
        (), description="Networks that the dashboard may be used from, e.g. 10.0.0.0/8; empty: any."
    )
    session_idle_seconds: float = Field(1800, gt=0, description="An operator's session ends when unused for so long.")
    session_longest_seconds: float = Field(43200, gt=0, description="It ends after so long however it is used.")
    sign_in_failures_per_minute: int = Field(
        10, ge=1, description="Failed tries a minute to sign in to the dashboard, from an address and with a name."
    )
    test_call_seconds: float = Field(
        2, ge=0, description="Until the outcome of a test key's pretended call comes; slow ones take ten times that."
    )
    message_max_length: int = Field(1000, ge=1, le=3000, description="Longest message, in code points.")
    default_language: str = Field("en-US", description="BCP 47 tag, when a request names neither language nor voice.")
    default_voice: str = Field("en-US-BenjaminRUS", description="8x8 speech profile of the default language.")
    send_client_request_id: bool = Field(True, description="Send clientRequestId with each callflow.")
    log_format: str = Field("json", pattern="^(json|text)$", description="json or text.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING, ERROR.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Where traces go, by OTLP over HTTP, e.g. http://127.0.0.1:4318; unset: there are none. Needs the"
        " extra `otel`.",
    )
    dial_senders: int = Field(64, ge=1, le=512, description="Callflow POSTs under way at once, per call worker.")
    dial_timeout_seconds: float = Field(8, gt=0, description="Whole exchange with 8x8, wall clock.")
    call_lease_seconds: float = Field(30, gt=0, description="How long a claimed message may stay dialing.")
    ring_seconds: float = Field(60, gt=0, description="Longest time that a phone is assumed to ring.")
    answer_seconds: float = Field(
        25,
        gt=0,
        description="Time a phone usually takes to be answered; a redial needs it before the deadline.",
    )
    vss_grace_seconds: float = Field(
        120, gt=0, description="After a call's latest possible end, wait this long for its summary."
    )
    export_interval_seconds: float = Field(
        300,
        gt=0,
        description="Pause between two exports of 8x8's call log, asked for while the outcome of a call is not known.",
    )
    export_delay_seconds: float = Field(
        600,
        ge=0,
        description="Wait this long after a call's latest possible end before 8x8's log is asked for it. How late 8x8"
        " lists a call is not documented: with onUnknown=redial, what is not there by then is dialled again, so with"
        " too little a phone rings twice. A message that lives for less than this and 3 minutes is never redialled.",
    )
    export_timeout_seconds: float = Field(
        120, gt=0, description="Download of all files of one export, wall clock; a killed sweeper's is taken up later."
    )
    sweep_interval_seconds: float = Field(1, gt=0, description="Pause between two sweeps.")
    callback_senders: int = Field(64, ge=1, le=512, description="Callback POSTs under way at once, per worker.")
    callback_endpoint_limit: int = Field(8, ge=1, description="Callback POSTs under way at once, per endpoint.")
    callback_timeout_seconds: float = Field(5, gt=0, description="Whole exchange with an endpoint, wall clock.")
    callback_connect_seconds: float = Field(2, gt=0, description="Connecting to an endpoint.")
    callback_schedule: Words = Field(
        ("5", "30", "120", "600", "1800", "7200", "18000", "36000", "86400"),
        description="Seconds before each further try of a failed callback; then it is parked.",
    )
    endpoint_failing_seconds: float = Field(
        432000,
        gt=0,
        description="An endpoint that failed at every try for so long is disabled, and what waits there is parked;"
        " that is announced after 50, 70 and 90 %.",
    )
    hold_after_failover: bool = Field(
        True,
        description="Hold back what a PostgreSQL that was promoted may have forgotten to be dialled; "
        "false where a synchronous standby forgets nothing.",
    )
    breaker_seconds: float = Field(
        15, gt=0, description="After an account-wide refusal by 8x8, probe again after this long, doubling."
    )
    unmatched_event_seconds: float = Field(
        3600, gt=0, le=86400, description="How long a webhook of an unknown call session is tried again."
    )
    unmatched_events_limit: int = Field(
        100_000, ge=1, description="Webhooks of unknown call sessions that may wait; beyond it the oldest are given up."
    )
    inbox_retention_seconds: float = Field(604800, gt=0, description="How long processed webhooks are kept.")
    retention_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Messages that ended longer ago are counted by day, and deleted; tries and legs a little later.",
    )

    @model_validator(mode="after")
    def _lease_outlives_the_post(self) -> Self:
        if self.call_lease_seconds < self.dial_timeout_seconds + 2:
            raise ValueError("CALL_LEASE_SECONDS must exceed DIAL_TIMEOUT_SECONDS by 2 or more")
        return self

    @classmethod
    def load(cls, **known: Any) -> Self:
        """
        The settings of this process, from its environment and ``.env``.

        Args:
            known: Values that the caller decides whatever the environment says (the embedded engines' URLs).

        Raises:
            SettingsError: Something is missing or wrong; every problem at once, values left out.
        """
        names = {field.upper(): field for field in SECRET_FIELDS}
        values, problems = secret_values.from_files(os.environ, names)
        known = {names[name]: value for name, value in values.items()} | known
        try:
            settings = cls(**known)
        except ValidationError as error:
            problems += [_problem(item["loc"], item["msg"]) for item in error.errors(include_input=False)]
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    @property
    def sources(self) -> tuple[str, ...]:
        """The caller ids, E.164."""
        return self.outbound_phone_number

    @property
    def data_keys(self) -> tuple[str, ...]:
        """The key that seals, then the one that is only read with."""
        keys = (self.ringpost_data_key, self.ringpost_data_key_old)
        return tuple(key.get_secret_value() for key in keys if key is not None)

    @property
    def callback_networks(self) -> tuple[Network, ...]:
        """Private networks that callbacks may reach."""
        return tuple(ipaddress.ip_network(word) for word in self.callback_allowed_networks)

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """Networks that webhooks may come from; empty: any."""
        return tuple(ipaddress.ip_network(word) for word in self.webhook_allowed_ips)

    @property
    def dashboard_networks(self) -> tuple[Network, ...]:
        """Networks that the dashboard may be used from; empty: any."""
        return tuple(ipaddress.ip_network(word) for word in self.dashboard_allowed_ips)

    @property
    def callback_waits(self) -> tuple[float, ...]:
        """Seconds before each further try of a failed callback."""
        return tuple(float(word) for word in self.callback_schedule)

    @property
    def spool_dir(self) -> Path:
        """Where webhooks wait while PostgreSQL is away."""
        return self.ringpost_data_dir / "spool"


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]).upper() if location else "settings"
    return f"{name}: {'is required' if message == 'Field required' else message.removeprefix('Value error, ')}"
