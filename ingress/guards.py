"""What keeps one process's guard informed: of what the others let in, of what is in quarantine, of what should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ingress.cache import Refreshed
from ingress.guard import Guard
from ingress.sharing import Sharing
from ingress.suspects import Suspects
from ingress.velocity import Velocity
from ingress.watch import Watch
from shared.db.queries import quarantines
from shared.services import Services

#: Seconds between looks at what is in quarantine, and at what should be.
_QUARANTINES_S: Final = 1
_SUSPECTS_S: Final = 2


@dataclass(frozen=True, slots=True)
class Guards:
    """Built once per process, after the fork."""

    guard: Guard
    sharing: Sharing
    quarantined: Refreshed[frozenset[tuple[str, bytes]]]
    suspects: Refreshed[list[str]]

    def close(self) -> None:
        """End the threads; the others are told what is left."""
        for part in (self.quarantined, self.suspects, self.sharing):
            part.close()


def build_guards(services: Services, now: Callable[[], float]) -> Guards:
    """Wire them; *now* gives seconds since 1970 by the database's clock."""
    settings, database = services.settings, services.database
    velocity, watch = Velocity(), Watch()
    quarantined = Refreshed(
        "quarantines",
        lambda: database.run(quarantines.open_ranges, alone=True),
        frozenset[tuple[str, bytes]](),
        every_s=_QUARANTINES_S,
    )
    suspects = Suspects(database, watch, for_s=settings.quarantine_seconds)
    return Guards(
        guard=Guard(settings, services.sealer, velocity, watch, quarantined),
        sharing=Sharing(velocity, services.broker.client),
        quarantined=quarantined,
        suspects=Refreshed("suspects", lambda: suspects.look(now()), [], every_s=_SUSPECTS_S),
    )
