"""What ``ringpost restore-check`` examines on a PostgreSQL that came from a backup; nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from deploy.checks import Check, Grade, ok

if TYPE_CHECKING:
    from shared.db.database import Database
    from shared.sealing import Sealer

#: A process that gave a sign of life so lately is at work, in seconds.
_LATELY_S: Final = 30
#: Rows of each kind that the data key is tried on.
_SAMPLE: Final = 100
#: After an outage everything is overdue, which is no fault of the restored rows.
_ANY_TIME_S: Final = 1e9

_STOP = "Stop them: until everything old is held, each of them may dial it."
_HOLD = (
    "Before any process starts: `ringpost restore-check --hold`. Then `ringpost failover` releases or discards them;"
    " none is dialled by itself."
)
_KEY = "Set RINGPOST_DATA_KEY, or RINGPOST_DATA_KEY_OLD, to the one that was in use when the backup was made."
_AUDIT = "`ringpost audit` names the rows: the copy is not of one moment. Restore one that is (pg_basebackup, pg_dump)."


def checks(database: Database, data_keys: Sequence[str]) -> list[Check]:
    """Every one; PostgreSQL must answer and have this version's schema, and statements may take their time."""
    from shared.sealing import Sealer

    return [
        _processes(database),
        _data_key(database, Sealer(*data_keys)),
        _waiting(database),
        _held(database),
        _callbacks(database),
        _conservation(database),
    ]


def at_work(database: Database) -> list[str]:
    """What is done by processes that lately gave a sign of life, and where."""
    from shared.db.queries import processes

    rows = database.run(processes.listed, alone=True)
    return sorted({f"{row['work']} on {row['host']}" for row in rows if row["silent_s"] < _LATELY_S})


def _processes(database: Database) -> Check:
    found = at_work(database)
    return Check("processes", Grade.WARNING, ", ".join(found), _STOP) if found else ok("processes", "none is at work")


def _data_key(database: Database, sealer: Sealer) -> Check:
    from shared.db.queries import sealed
    from shared.sealing import Unsealable

    tried, closed = 0, []
    for place in sealed.PLACES:
        for row in database.run(partial(sealed.newest, place=place, limit=_SAMPLE), alone=True):
            tried += 1
            try:
                sealer.unseal(bytes(row["sealed"]), row=row["row"])
            except Unsealable:
                closed.append(f"{place.table} {row['row']}")
    if closed:
        return Check("data key", Grade.FAILURE, f"does not open {len(closed)} of {tried} rows: {closed[0]}", _KEY)
    return ok("data key", f"opens all of {tried} rows")


def _waiting(database: Database) -> Check:
    from shared.db.queries import restored

    due = database.run(restored.count_due, alone=True)
    if not due:
        return ok("waiting messages", "none")
    if at_work(database):
        return ok("waiting messages", f"{due}, of processes at work")
    return Check("waiting messages", Grade.FAILURE, f"{due}, which may have been dialled after the backup", _HOLD)


def _held(database: Database) -> Check:
    from shared.db.queries import failover

    rows = database.run(failover.count, alone=True)
    if not rows:
        return ok("held messages", "none")
    remedy = "`ringpost failover show`, then `release` for those that were surely not dialled, `discard` for others."
    return Check("held messages", Grade.WARNING, ", ".join(f"{row['messages']} {row['lane']}" for row in rows), remedy)


def _callbacks(database: Database) -> Check:
    from shared.db import reports

    due = sum(row["callbacks"] for row in database.run(reports.callback_states) if row["state"] != "parked")
    return ok("callbacks", f"{due} are due, some for the second time")


def _conservation(database: Database) -> Check:
    from shared.db import conservation

    found = database.run(lambda c: conservation.findings(c, _ANY_TIME_S))
    if found:
        told = ", ".join(f"{one.count} {one.kind}" for one in found)
        return Check("conservation", Grade.FAILURE, told, _AUDIT)
    return ok("conservation", "every message is accounted for")
