"""What step 2 does with calls that an operator stops, or that must let people sleep: back into the queue, undialled."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog

from shared.db.database import Database, is_away
from shared.db.queries import stops
from shared.db.queries.claimed import ClaimedCall
from shared.db.queries.stops import Stopped
from shared.quiet import Quiet
from shared.services import Services
from shared.stops import Called, Stop, covering

#: A claim tells of the stops that stood. So long that is believed, in seconds; a later POST asks again.
FRESH_S: Final = 0.5
#: So long a POST waits for PostgreSQL to tell of stops, in seconds: with the above it keeps the 2 s within which a stop
#: is obeyed. Where PostgreSQL is silent for longer, nobody can throw one either, and what was last known holds.
_PATIENCE_S: Final = 1.4

log = structlog.get_logger()


class Switches:
    """The stops as one process knows them: asked for only by whoever is about to POST long after its claim."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = threading.Lock()
        self._known: tuple[float, Sequence[Stop]] = (0.0, ())

    def stop_of(self, call: ClaimedCall, number: str, told: Sequence[Stop], told_at: float) -> Stop | None:
        """
        The stop that forbids this POST now.

        Args:
            call: In hand.
            number: The phone that it would ring.
            told: Stops that stood at the claim.
            told_at: When that was, of the monotonic clock.
        """
        if time.monotonic() - told_at > FRESH_S:
            told = self._now(told)
        if not told:
            return None
        return covering(told, Called(call.provider_id, call.lane, call.source, call.country, number))

    def _now(self, told: Sequence[Stop]) -> Sequence[Stop]:
        if time.monotonic() - self._known[0] <= FRESH_S:
            return self._known[1]
        with self._asking:  # one asks for all
            if time.monotonic() - self._known[0] <= FRESH_S:
                return self._known[1]
            began = time.monotonic()
            try:
                standing = self._database.run(stops.standing, patience_s=_PATIENCE_S, alone=True)
            except Exception as error:  # before a POST nothing may leave a doubt behind
                if not is_away(error):
                    log.exception("stops_not_read")
                # What either knew holds, and others in line need not ask in vain.
                standing = list({*self._known[1], *told})
                began = time.monotonic()
            self._known = began, standing
            return standing


def put_back(services: Services, stopped: Sequence[tuple[ClaimedCall, Stop | Quiet]], patience_s: float) -> None:
    """Give calls back undialled, and say so; *patience_s* is the longest wait for PostgreSQL."""
    account = services.settings.eight_x_eight_subaccount_id
    calls = [
        Stopped(call.message_id, call.attempt_id, call.provider_id, call.now, call.deadline, why)
        for call, why in stopped
    ]
    back = services.database.run(partial(stops.put_back, subaccount_id=account, stopped=calls), patience_s=patience_s)
    scopes = sorted({"quiet_hours" if isinstance(why, Quiet) else why.scope for _, why in stopped})
    log.warning("calls_stopped", calls=back, scopes=scopes, message_ids=[call.message_id for call in calls])
