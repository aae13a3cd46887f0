"""Always, and before the first claim on a PostgreSQL that was promoted or restored: hold what it may have forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import Connection

from shared.db.queries import failover, moves, restored
from shared.lifecycle import WAITING, Event, Move, Status
from shared.reasons import Reason
from shared.services import Services, timing_of
from shared.verdict import Dialed, Timing, doubt_due

_PAGE: Final = 500

log = structlog.get_logger()


def check_in(services: Services) -> None:
    """
    Get to know the server, and hold what it may have forgotten to be dialled if its history is another one.

    Any number of workers may do this at once, and again after one died: claims stay shut out until all is held.

    Raises:
        DatabaseAway: PostgreSQL went away; what is not held yet is not claimed either.
    """
    is_known, found_at = services.database.run(failover.look, alone=True)
    if is_known or services.database.run(failover.greet, alone=True):
        return
    before = None
    if services.database.run(restored.is_copy, alone=True):
        before = services.database.run(restored.since_when)
        if before is None:
            return  # another one was quicker, and what came since is new
    held = 0
    if before or services.settings.hold_after_failover:
        held = sum(_hold_all(services, status, before or found_at, before) for status in WAITING)
    timeline = services.database.run(lambda connection: failover.accept(connection, held), alone=True)
    log.critical("database_history_lost", timeline=timeline, messages_held=held)


def _hold_all(services: Services, status: Status, found_at: datetime, before: datetime | None) -> int:
    """Page by page, so that no transaction is long; claims wait meanwhile."""
    timing = timing_of(services.settings)
    subaccount_id = services.settings.eight_x_eight_subaccount_id

    def page(connection: Connection) -> int:
        rows = failover.hold(
            connection, status, found_at=found_at, before=before, subaccount_id=subaccount_id, page=_PAGE
        )
        moves.apply(connection, [_held(row, timing) for row in rows])
        return len(rows)

    total = 0
    while held := services.database.run(page):
        total += held
    return total


def _held(row: failover.Held, timing: Timing) -> Move:
    """Until its deadline, when an operator can still release it; longer where a summary may still be on its way."""
    lost = Dialed(
        message_id=row.id,
        attempt_id=row.attempt_id,
        number=row.number,
        valid_until=row.valid_until,
        speaking_s=row.plays * row.seconds_per_play,
        deadline=row.deadline,
        may_redial=row.may_redial,
    )
    due_at = doubt_due(lost, timing)
    if not row.may_redial:
        due_at = max(due_at, row.deadline)
    return Move(row.id, Event.HISTORY_LOST, reason=Reason.HISTORY_LOST, due_at=due_at)
