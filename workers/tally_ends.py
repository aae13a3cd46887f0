"""Now and then: count how calls end, by provider and country. Of more than one round counts, the newest are counted."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from shared.db.database import is_away
from shared.db.queries import ends
from shared.services import Services

#: Seconds between two rounds.
_EVERY_S: Final = 10

log = structlog.get_logger()


def keep_tallying(services: Services, stop: threading.Event) -> None:
    """Count until *stop* is set; several may, and one at a time does."""
    while not stop.wait(_EVERY_S):
        try:
            services.database.run(ends.tally)
        except Exception as error:
            if not is_away(error):
                log.exception("ends_not_tallied")
