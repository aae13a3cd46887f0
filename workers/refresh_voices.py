"""Now and then: ask 8x8 which voices it offers, so that the ingress can refuse the others."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from shared.db.queries import voices
from shared.services import Services

_FRESH_S: Final = 6 * 3600
_RETRY_S: Final = 60

log = structlog.get_logger()


def refresh_voices(services: Services) -> int:
    """Fetch and store the speech profiles; says how many. A list that came back empty changes nothing."""
    offered = {profile.code: profile.locale for profile in services.voice_api.speech_profiles() if profile.code}
    if offered:
        services.database.run(lambda connection: voices.replace(connection, offered))
    if offered and services.settings.default_voice not in offered:
        log.error("default_voice_not_offered", voice=services.settings.default_voice)
    return len(offered)


def keep_fresh(services: Services, stop: threading.Event) -> None:
    """Refresh until *stop*; 8x8 being away costs nothing but old knowledge."""
    wait_s: float = 0
    while not stop.wait(wait_s):
        try:
            refresh_voices(services)
            wait_s = _FRESH_S
        except Exception as error:  # noqa: BLE001  tried again soon
            log.warning("voices_not_refreshed", error=type(error).__name__)
            wait_s = _RETRY_S
