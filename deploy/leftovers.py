"""What ``ringpost doctor`` says of what waits for a person: messages held after a failover, and what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.checks import Check, Grade, ok

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from shared.db.database import Database

_HELD = (
    "`ringpost failover show`; 8x8's summaries and log settle those that were dialled. Of the rest, `ringpost failover "
    "release` dials those still in time (a phone may ring twice), `discard` gives them up; none is dialled by itself."
)
_CALLBACKS = (
    "`ringpost parked list` tells the last error. Once the endpoint answers: `ringpost callbacks recover`, or "
    "`ringpost parked resend ID`; `parked discard ID` gives one up, and its event stays in the provider's feed."
)
_EVENTS = (
    "`ringpost parked list` names them. Once what failed is mended: `ringpost parked resend NUMBER`; a webhook that no "
    "version can read: `parked discard NUMBER`. Until then its message ends `undetermined`."
)
_FILES = "`ringpost parked resend FILE` stores them once PostgreSQL takes them; `parked discard FILE` deletes them."


def check_leftovers(database: Database, spool_dir: Path) -> list[Check]:
    """Nothing waits for a person; else how much, and what to do about it. PostgreSQL must answer."""
    from shared.db import vitals
    from shared.db.queries import failover

    held = database.run(failover.count, alone=True)
    figures = database.run(vitals.read, alone=True)
    files = sorted(path.name for path in spool_dir.glob("*.parked"))
    return [
        Check("held messages", Grade.WARNING, _held(held), _HELD) if held else ok("held messages", "none"),
        _set_aside("parked callbacks", figures["parked_callbacks"], _CALLBACKS),
        _set_aside("parked webhooks", figures["parked_events"], _EVENTS),
        _set_aside("parked spool", len(files), _FILES, files),
    ]


def _held(rows: Sequence[RowMapping]) -> str:
    from shared.times import rfc3339

    lanes = ", ".join(f"{row['messages']} {row['lane']}" for row in rows)
    in_time = sum(row["in_time"] for row in rows)
    deadlines = [row["first_deadline"] for row in rows if row["first_deadline"]]
    next_one = f", the next until {rfc3339(min(deadlines))}" if deadlines else ""
    return f"{lanes}; {in_time} still in time{next_one}"


def _set_aside(name: str, count: int, remedy: str, shown: Sequence[str] = ()) -> Check:
    found = f"{count}" + (f": {', '.join(shown[:3])}{', …' if len(shown) > 3 else ''}" if shown else "")
    return Check(name, Grade.WARNING, found, remedy) if count else ok(name, "none")
