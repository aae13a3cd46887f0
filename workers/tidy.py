"""What the sweeper does now and then rather than in each round: nobody waits for it."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

import structlog

from shared.db.queries import endpoint_health, endpoints, strays
from shared.services import Services
from shared.times import rfc3339

_EVERY_S: Final = 10
#: In one go at most so many pages are purged; what is left is purged ten seconds later.
_MOST_PAGES: Final = 20
#: Callbacks that are parked at once.
_PAGE: Final = 2000
#: A deleted endpoint is forgotten so long after its last callbacks may be, in days: a call may be asked for a week
#: ahead, and take its redials and its callbacks' tries.
_SPARE_DAYS: Final = 30
_DAY_S: Final = 86_400

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
        """Old callback secrets, webhooks of no call of ours, endpoints that take nothing."""
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
        self._endpoints()

    def _endpoints(self) -> None:
        """Announce that endpoints will be disabled, disable them, and park what waits there."""
        database, settings = self._services.database, self._services.settings
        limit_s = settings.endpoint_failing_seconds
        for row in database.run(partial(endpoint_health.notice, limit_s=limit_s), alone=True):
            log.warning(
                "endpoint_failing",
                endpoint_id=row.endpoint_id,
                provider_id=row.provider_id,
                percent=round(100 * row.share),
                failing_since=rfc3339(row.failing_since),
                disables_at=rfc3339(row.disables_at),
            )
        for row in database.run(partial(endpoint_health.disable, limit_s=limit_s)):
            log.error("endpoint_disabled", endpoint_id=row.endpoint_id, provider_id=row.provider_id)
        for _ in range(_MOST_PAGES):
            if not database.run(partial(endpoint_health.park, page=_PAGE), alone=True):
                break
        keep_s = float((settings.retention_days + _SPARE_DAYS) * _DAY_S)
        database.run(partial(endpoint_health.forget, keep_s=keep_s), alone=True)
