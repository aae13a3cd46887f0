"""What whoever tries the whole service out on this machine needs: benchmarks, drills, end-to-end tests."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import requests

from deploy import fleet
from shared.settings import Settings

HOST: Final = "127.0.0.1"
_LOOK_S: Final = 0.05


class TrialError(Exception):
    """Something does not come to pass; the text says what."""


def settings_for(database_url: str, redis_url: str, folder: Path, voice_url: str, **changes: Any) -> Settings:
    """
    Production's settings on engines, an 8x8 and a provider of this machine.

    Args:
        database_url: The engine's, or the proxy's before it.
        redis_url: The same.
        folder: Of the data.
        voice_url: Of the simulated 8x8, its log export included.
        changes: Any setting.
    """
    known: dict[str, Any] = {
        "eight_x_eight_api_key": "simulator-api-key",
        "eight_x_eight_subaccount_id": "trial_voice",
        "eight_x_eight_base_url": voice_url,
        "eight_x_eight_export_url": voice_url,
        "outbound_phone_number": "+6531580001",
        "webhook_auth_token": "trial-webhook-token",
        "ringpost_data_key": base64.b64encode(bytes(range(32))).decode(),
        "ringpost_data_dir": folder,
        "database_url": database_url,
        "redis_url": redis_url,
        "port": fleet.free_port(HOST),
        "web_concurrency": 2,
        "provider_daily_calls": 100_000_000,  # one provider makes a whole benchmark's calls in a day
        "callback_allowed_networks": "127.0.0.0/8",
        "number_limits": "",  # trials ring the same numbers again and again
        "prefix_per_hour": 0,
    }
    return Settings.load(_env_file=None, **(known | changes))


#: For drills: everything that is waited for comes soon, and the pace is out of the way.
SHRUNK: Final[dict[str, Any]] = {
    "dials_per_second": 1000,
    "max_calls_in_flight": 5000,
    "callback_schedule": "0.5,1,2,4,4,4,4",
    "callback_timeout_seconds": 2,
    "callback_connect_seconds": 1,
    "sweep_interval_seconds": 0.5,
}


def takes_messages(url: str) -> bool:
    """Whether the ingress at *url* is there and ready."""
    try:
        return requests.get(f"{url}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def wait_until(predicate: Callable[[], object], what: str, timeout_s: float) -> None:
    """
    Look until *predicate* holds.

    Raises:
        TrialError: It does not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            raise TrialError(f"not within {timeout_s:g} s: {what}")
        time.sleep(_LOOK_S)  # what is looked at lies in other processes, which tell nobody
