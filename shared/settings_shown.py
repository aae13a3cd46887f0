"""Every setting as anyone may read it: no secret, no password in a URL, and where its value comes from."""

from __future__ import annotations

import os
from typing import Any, Final

from pydantic import SecretStr

from shared.secret_values import without_password
from shared.settings import Settings

_MASK: Final = "***"


def every(loaded: Settings) -> list[dict[str, Any]]:
    """``name``, ``value`` and ``source`` of each."""
    return [
        {"name": name.upper(), "value": _shown(loaded, name), "source": _source(loaded, name)}
        for name in Settings.model_fields
    ]


def _shown(loaded: Settings, name: str) -> Any:
    value = getattr(loaded, name)
    if isinstance(value, SecretStr):
        return _MASK
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, str) and "://" in value:
        return without_password(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _source(loaded: Settings, name: str) -> str:
    """Where it was found, in the order in which it is looked for."""
    variable = name.upper()
    if os.environ.get(variable):
        return "environment"
    if path := os.environ.get(f"{variable}_FILE"):
        return path
    return ".env" if name in loaded.model_fields_set else "default"
