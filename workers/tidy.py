"""What the sweeper does now and then rather than in each round: nobody waits for it."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import structlog

from shared.db.queries import endpoints, strays
from shared.services import Services

_EVERY_S: Final = 10
#: In one go at most so many pages are purged; what is left is purged ten seconds later.
_MOST_PAGES: Final = 20

log = structlog.get_logger()


class Tidy:
    """Forgets what nobody may need any more. Any number of sweepers may do so at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._due_at = time.monotonic() + _EVERY_S

    def if_due(self) -> None:
        """Once in a while; called after each round of the sweeper."""
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + _EVERY_S
            self()

    def __call__(self) -> None:
        """Old callback secrets, and webhooks of no call of ours."""
        database, settings = self._services.database, self._services.settings
        if erased := database.run(endpoints.erase_old_secrets):
            log.info("old_callback_secrets_erased", endpoint_ids=erased)
        most = settings.unmatched_events_limit
        if database.run(partial(strays.are_too_many, most=most), alone=True):
            # Twice the lease of a call: until then 8x8's answer may come that names the session.
            chance_s = 2 * settings.call_lease_seconds
            dropped = 0
            for _ in range(_MOST_PAGES):
                page = database.run(partial(strays.drop, most=most, chance_s=chance_s))
                dropped += page
                if not page:
                    break
            log.error("events_dropped", events=dropped, limit=most)
        for _ in range(_MOST_PAGES):
            if not database.run(partial(strays.purge, tried_s=settings.unmatched_event_seconds)):
                break
