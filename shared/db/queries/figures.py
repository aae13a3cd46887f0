"""Figures of the past, for charts: a row every few seconds, whoever writes it, and forgotten after a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, RowMapping, text

#: Seconds between two rows: of several sweepers, the first one writes it.
EVERY_S: Final = 10
_KEPT_DAYS: Final = 7
#: Points of one chart.
_POINTS: Final = 300

_AT: Final = f"date_bin(interval '{EVERY_S} seconds', now(), 'epoch')"
_IS_MISSING: Final = text(f"SELECT NOT EXISTS (SELECT FROM figures WHERE at = {_AT})")
_KEEP: Final = text(f"""
WITH gone AS (DELETE FROM figures WHERE at < now() - interval '{_KEPT_DAYS} days')
INSERT INTO figures (at, figures) VALUES ({_AT}, CAST(:figures AS jsonb)) ON CONFLICT DO NOTHING
""")


def is_time(connection: Connection) -> bool:
    """Whether nobody wrote the present row yet."""
    return bool(connection.execute(_IS_MISSING).scalar_one())


def keep(connection: Connection, figures: Mapping[str, Any]) -> None:
    """Write the present row, unless somebody did, and forget what is too old."""
    connection.execute(_KEEP, {"figures": to_json(dict(figures)).decode()})


_PAST: Final = text(f"""
SELECT DISTINCT ON (bin) date_bin(:hours * interval '1 hour' / {_POINTS}, at, 'epoch') AS bin, at, figures
FROM figures WHERE at > now() - :hours * interval '1 hour' ORDER BY bin, at DESC
""")
_LATEST: Final = text("""
SELECT at, EXTRACT(EPOCH FROM clock_timestamp() - at)::float8 AS age_s, figures
FROM figures WHERE at > now() - interval '1 minute' ORDER BY at DESC LIMIT 1
""")
_AUDIT: Final = text("""
SELECT at, EXTRACT(EPOCH FROM now() - at)::float8 AS age_s, figures -> 'audit' AS found
FROM figures WHERE jsonb_exists(figures, 'audit') ORDER BY at DESC LIMIT 1
""")


def past(connection: Connection, hours: float) -> Sequence[RowMapping]:
    """The rows of the last *hours*, thinned out to 300, the earliest first."""
    return connection.execute(_PAST, {"hours": hours}).mappings().all()


def latest(connection: Connection) -> RowMapping | None:
    """The row of the last minute that was written last, and its age in seconds."""
    return connection.execute(_LATEST).mappings().first()


def latest_audit(connection: Connection) -> RowMapping | None:
    """When every message was last accounted for, and what was not: kind -> count; None until it was."""
    return connection.execute(_AUDIT).mappings().first()
