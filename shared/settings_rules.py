"""What the operator's choices must be like: how :mod:`shared.settings` reads and checks them."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Any, Final

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from shared import secret_values
from shared.sealing import DATA_KEY_BYTES, hash_alike
from shared.sending_rules import parse_number_limits
from shared.voice_api.pretence import PRETENDED_SUBACCOUNT

_PATH_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


class SettingsRules(BaseSettings):
    """The checks of single fields; the fields themselves are the subclass's."""

    @field_validator(
        "outbound_phone_number",
        "webhook_allowed_ips",
        "dashboard_allowed_ips",
        "callback_allowed_networks",
        "allowed_countries",
        "denied_prefixes",
        "callback_schedule",
        mode="before",
        check_fields=False,
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("outbound_phone_number", check_fields=False)
    @classmethod
    def _caller_ids(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(word.lstrip("+").isdigit() for word in value):
            raise ValueError("needs phone numbers in E.164, comma-separated")
        return tuple("+" + word.lstrip("+") for word in value)

    @field_validator("allowed_countries", check_fields=False)
    @classmethod
    def _countries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(word == "*" or (len(word) == 2 and word.isascii() and word.isalpha()) for word in value):
            raise ValueError("needs ISO alpha-2 codes such as SG,US, or *")
        return tuple(word.upper() for word in value)

    @field_validator("denied_prefixes", check_fields=False)
    @classmethod
    def _prefixes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(word.startswith("+") and word[1:].isascii() and word[1:].isdecimal() for word in value):
            raise ValueError("needs beginnings of numbers such as +2357, comma-separated")
        return value

    @field_validator("number_limits", check_fields=False)
    @classmethod
    def _number_limits(cls, value: str) -> str:
        parse_number_limits(value)
        return value

    @field_validator("webhook_allowed_ips", "dashboard_allowed_ips", "callback_allowed_networks", check_fields=False)
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            ipaddress.ip_network(word)
        return value

    @field_validator("callback_schedule", check_fields=False)
    @classmethod
    def _seconds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(float(word) >= 0 for word in value):
            raise ValueError("needs seconds, comma-separated")
        return value

    @field_validator("ringpost_data_key", "ringpost_data_key_old", check_fields=False)
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        try:
            raw = base64.b64decode(value.get_secret_value(), validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) not in DATA_KEY_BYTES:
            raise ValueError("needs 32 bytes in base64; make one with: openssl rand -base64 32")
        if len(set(raw)) < secret_values.MIN_DIFFERENT:
            raise ValueError("is not random; make one with: openssl rand -base64 32")
        return value

    @field_validator("ringpost_data_key_old", check_fields=False)
    @classmethod
    def _follows(cls, value: SecretStr | None, known: ValidationInfo) -> SecretStr | None:
        newest: SecretStr | None = known.data.get("ringpost_data_key")
        if value is None or newest is None:
            return value
        key, old = newest.get_secret_value(), value.get_secret_value()
        if not hash_alike(key, old):
            raise ValueError("does not belong to RINGPOST_DATA_KEY: make its successor with `ringpost keys new-data`")
        return value

    @field_validator("otel_exporter_otlp_endpoint", check_fields=False)
    @classmethod
    def _is_a_web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("needs a URL that begins with http:// or https://")
        return value

    @field_validator("eight_x_eight_subaccount_id", check_fields=False)
    @classmethod
    def _not_pretended(cls, value: str) -> str:
        if value == PRETENDED_SUBACCOUNT:
            raise ValueError("is the name that pretended calls have")
        return value

    @field_validator(
        "webhook_auth_token", "webhook_auth_token_old", "webhook_path_secret", "metrics_token", check_fields=False
    )
    @classmethod
    def _is_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (why := secret_values.weakness(value.get_secret_value())):
            raise ValueError(why)
        return value

    @field_validator("webhook_path_secret", check_fields=False)
    @classmethod
    def _is_a_path_segment(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _PATH_SEGMENT.fullmatch(value.get_secret_value()):
            raise ValueError("may hold letters, digits, - and _ only, 128 at most; make one with: openssl rand -hex 24")
        return value

    @field_validator("eight_x_eight_api_key", check_fields=False)
    @classmethod
    def _is_filled_in(cls, value: SecretStr) -> SecretStr:
        if why := secret_values.weakness(value.get_secret_value(), shortest=1):  # 8x8 chose it
            raise ValueError(why)
        return value

    @field_validator(
        "webhook_auth_token_old",
        "webhook_path_secret",
        "metrics_token",
        "database_url",
        "redis_url",
        "webhook_base_url",
        "otel_exporter_otlp_endpoint",
        "daily_calls",
        "ringpost_data_key_old",
        mode="before",
        check_fields=False,
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value
