"""What steps 2 and 4 do when 8x8 takes no more calls: dial fewer, at once or a second."""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog

from shared.db.database import is_away
from shared.db.queries import pacing
from shared.db.queries.pacing import Refused
from shared.pacing import Pace
from shared.services import Services

#: A cut that leaves more than this is no news.
_FINE: Final = 0.95

log = structlog.get_logger()


def slow_down(services: Services, pace: Pace, refused: Refused) -> None:
    """
    Cut what 8x8 was found not to bear, and say so.

    Comes after the results are committed: a cut that is lost with its database is made by the next refusal.
    """
    if not refused:
        return
    try:
        cuts = services.database.run(partial(pacing.slow_down, pace=pace, refused=refused))
    except Exception as error:  # the results are kept, and must not be taken for lost
        if is_away(error):
            log.warning("database_away", process="pacing")
        else:
            log.exception("dialing_not_slowed")
        return
    for cut in cuts:
        tell = log.info if cut.now > _FINE * cut.was else log.warning  # a trunk in full use refuses one call in 250
        tell(
            "dialing_slowed",
            limit=cut.limit,
            was=round(cut.was, 1),
            now=round(cut.now, 1),
            in_flight=cut.in_flight,
            held_s=cut.held_s,
        )
