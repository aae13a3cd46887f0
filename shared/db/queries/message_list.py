"""
A provider's messages, or those of all, page by page, newest first.

Every page is read along the one index by provider and time, so that a list costs the accepting of messages nothing. A
filter on anything else passes rows over, of which a page looks at :data:`SCANNED` at most: it may come back short, or
empty, with a place from which to go on. What it costs therefore does not grow with what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from shared.db.prepared import Prepared
from shared.db.story import HEAD_COLUMNS
from shared.ids import first_id
from shared.lifecycle import FINALS, Lane, Mode, Status

#: Rows that one page looks at: about 5 ms of PostgreSQL, and a million rows in 200 pages.
SCANNED: Final = 5000

#: When a message was stored, and its id: its place in the order.
Place = tuple[datetime, str]
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages a list shows; what is empty leaves nothing out."""

    statuses: Sequence[Status] = ()
    lanes: Sequence[Lane] = ()
    countries: Sequence[str] = ()
    ending: str | None = None  # the last four digits, of numbers long enough to show them
    mode: Mode | None = None
    since: datetime = _EARLIEST
    until: datetime = _LATEST  # this moment itself is left out

    @property
    def is_everything(self) -> bool:
        """Whether every message of the span is shown: no row is passed over."""
        return not (self.statuses or self.lanes or self.countries or self.ending or self.mode)

    @property
    def is_open(self) -> bool:
        """Whether only messages are shown that have not come to their end."""
        return bool(self.statuses) and FINALS.isdisjoint(self.statuses)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as :func:`shared.db.story.head` shows them, and from where to go on; None at the end of the list."""

    rows: Sequence[Any]
    after: Place | None


_COLUMNS: Final = ", ".join(f"m.{name}" for name in HEAD_COLUMNS)
_SPAN: Final = (
    "m.provider_id = :provider_id AND m.created_at >= :since AND (m.created_at, m.id) < (:before, :before_id)"
)
_FITS: Final = """(
(CAST(:statuses AS text[]) IS NULL OR m.status = ANY (CAST(:statuses AS text[])))
AND (CAST(:lanes AS text[]) IS NULL OR COALESCE(m.test_type, m.lane) = ANY (CAST(:lanes AS text[])))
AND (CAST(:countries AS text[]) IS NULL OR m.country = ANY (CAST(:countries AS text[])))
AND (CAST(:ending AS text) IS NULL OR right(m.destination_masked, 4) = CAST(:ending AS text))
AND (CAST(:mode AS text) IS NULL OR (m.test_type IS NULL) = (CAST(:mode AS text) = 'live')))
"""
_NEWEST_FIRST: Final = "ORDER BY m.created_at DESC, m.id DESC"
_SPAN_TYPES: Final = {
    "provider_id": "text", "since": "timestamptz", "before": "timestamptz", "before_id": "text", "wanted": "int",
}  # fmt: skip
_FITS_TYPES: Final = {"statuses": "text[]", "lanes": "text[]", "countries": "text[]", "ending": "text", "mode": "text"}

_EVERYTHING: Final = Prepared(
    f"SELECT {_COLUMNS} FROM messages m WHERE {_SPAN} {_NEWEST_FIRST} LIMIT :wanted", **_SPAN_TYPES
)

# Rows are numbered as they are passed, and the last one is shown whether it fits or not, as the next page begins
# there. Reading stops as soon as the page is full.
_WALK: Final = Prepared(
    f"""
SELECT passed.fits, passed.number = :scanned AS is_last, {_COLUMNS} FROM (
  SELECT m.id, m.created_at, {_FITS} AS fits, row_number() OVER ({_NEWEST_FIRST}) AS number
  FROM messages m WHERE {_SPAN} {_NEWEST_FIRST} LIMIT :scanned
) AS passed JOIN messages m USING (id)
WHERE passed.fits OR passed.number = :scanned
ORDER BY passed.created_at DESC, passed.id DESC LIMIT :wanted
""",
    scanned="int",
    **_SPAN_TYPES,
    **_FITS_TYPES,
)

# Through the index of open messages, which are few wherever they lie among the others. Materialized, as the planner
# would take the LIMIT for a reason to walk through all that is stored. There is always a row: it tells how many were
# seen, and where those were too many, that is all.
_OPEN: Final = Prepared(
    f"""
WITH open AS MATERIALIZED (
  SELECT m.id, m.created_at, {_SPAN} AND {_FITS} AS fits
  FROM messages m WHERE m.finished_at IS NULL AND m.status = ANY (CAST(:statuses AS text[])) LIMIT :scanned
), shown AS MATERIALIZED (
  SELECT m.id FROM open m WHERE m.fits AND (SELECT count(*) FROM open) < :scanned {_NEWEST_FIRST} LIMIT :wanted
)
SELECT seen.count AS seen, {_COLUMNS}
FROM (SELECT count(*) FROM open) AS seen LEFT JOIN (shown JOIN messages m USING (id)) ON true
{_NEWEST_FIRST}
""",
    scanned="int",
    **_SPAN_TYPES,
    **_FITS_TYPES,
)

# For operators: the ids of all providers' messages are in the order of time, and so is the primary key.
_ALL: Final = Prepared(
    f"""
SELECT passed.fits, passed.number = :scanned AS is_last, m.provider_id, {_COLUMNS} FROM (
  SELECT m.id, m.created_at >= :since AND m.created_at < :until AND {_FITS} AS fits,
    row_number() OVER (ORDER BY m.id DESC) AS number
  FROM messages m WHERE m.id >= :since_id AND m.id < :before_id ORDER BY m.id DESC LIMIT :scanned
) AS passed JOIN messages m USING (id)
WHERE passed.fits OR passed.number = :scanned ORDER BY passed.id DESC LIMIT :wanted
""",
    scanned="int",
    wanted="int",
    since="timestamptz",
    until="timestamptz",
    since_id="text",
    before_id="text",
    **_FITS_TYPES,
)
#: Ids are made by the clocks of processes, the time of a message is PostgreSQL's.
_CLOCKS_DIFFER: Final = timedelta(hours=1)
_FIRST_ID: Final = "msg_"
_LAST_ID: Final = "msh"


def page_of_all(
    connection: Connection, wanted: Wanted, *, after: Place | None, limit: int, scanned: int = SCANNED
) -> Page:
    """The next messages of every provider, whose rows tell which; otherwise as :func:`page`, in the order of ids."""
    until_id = _LAST_ID if wanted.until == _LATEST else first_id("msg", wanted.until + _CLOCKS_DIFFER)
    rows = _ALL(
        connection,
        since=wanted.since,
        until=wanted.until,
        since_id=_FIRST_ID if wanted.since == _EARLIEST else first_id("msg", wanted.since - _CLOCKS_DIFFER),
        before_id=until_id if after is None else after[1],
        wanted=limit + 1,
        **_chosen(wanted, scanned),
    )
    return _walked(rows, limit)


def page(
    connection: Connection, provider_id: str, wanted: Wanted, *, after: Place | None, limit: int, scanned: int = SCANNED
) -> Page:
    """
    The next messages of the list.

    Args:
        connection: May commit each statement by itself.
        provider_id: Whose messages.
        wanted: The filters.
        after: Where the page before ended; None for the first page.
        limit: Messages on a full page.
        scanned: Rows to look at, more than *limit*.
    """
    before, before_id = (wanted.until, "") if after is None else min(after, (wanted.until, ""))
    span = {
        "provider_id": provider_id, "since": wanted.since, "before": before, "before_id": before_id,
        "wanted": limit + 1,
    }  # fmt: skip
    if wanted.is_everything:
        return _cut(_EVERYTHING(connection, **span), limit)
    chosen = _chosen(wanted, scanned)
    if wanted.is_open:
        seen = _OPEN(connection, **span, **chosen)
        if seen[0].seen < scanned:
            return _cut([row for row in seen if row.id is not None], limit)
    return _walked(_WALK(connection, **span, **chosen), limit)


def _chosen(wanted: Wanted, scanned: int) -> dict[str, Any]:
    return {
        "statuses": list(wanted.statuses) or None, "lanes": list(wanted.lanes) or None,
        "countries": list(wanted.countries) or None, "ending": wanted.ending, "mode": wanted.mode,
        "scanned": scanned,
    }  # fmt: skip


def _cut(rows: Sequence[Any], limit: int) -> Page:
    """The page of *rows*, which are one too many when there are more."""
    return Page(rows[:limit], _place(rows[limit - 1]) if len(rows) > limit else None)


def _walked(rows: Sequence[Any], limit: int) -> Page:
    """The page of those *rows* that fit; the last of all may be there to tell that there is more to look at."""
    page = _cut([row for row in rows if row.fits], limit)
    if page.after is None and rows and rows[-1].is_last:
        return Page(page.rows, _place(rows[-1]))
    return page


def _place(row: Any) -> Place:
    return row.created_at, row.id
