"""What a provider reads of many messages at once: figures, and all of them as a table for its own tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json
from sqlalchemy import Connection

from ingress.asking import ask
from ingress.csv_table import COLUMNS, cells, lines
from ingress.lean import json_answer, streamed_answer
from ingress.message_list import PAGES, read_query, read_span
from ingress.problems import MemberError, Problem, invalid
from ingress.site import Site
from shared.db import story
from shared.db.queries import message_list, stats
from shared.db.queries.message_list import Page, Place, Wanted
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode, Status
from shared.times import rfc3339

_DAY: Final = timedelta(days=1)
_LONGEST: Final = timedelta(days=31)
#: PostgreSQL's clock, by which messages come in, may be a little ahead of what this process takes it for.
_ALLOWANCE: Final = timedelta(seconds=5)
#: Messages that are read and sent at once.
_PIECE: Final = 1000
#: How long PostgreSQL may be away, in seconds: before an export has begun, and in the midst of it.
_FIRST_S: Final = 0.5
_LATER_S: Final = 20.0
#: The last line of an export that PostgreSQL did not let come to its end: no id of a message.
_BROKEN_OFF: Final = ("broken off", "The database does not answer. Ask again.")


def report_routes(site: Site) -> Blueprint:
    """GET /v1/stats and /v1/messages.csv."""
    routes = Blueprint("reports", __name__)

    @routes.get("/v1/stats")
    def figures() -> Response:
        owner = site.providers.owner(request)
        span = _span(dict(request.args.lists()), datetime.fromtimestamp(site.forecast.now(), UTC))
        counted = span if "until" in request.args else (span[0], span[1] + _ALLOWANCE)
        found = ask(site, lambda c: stats.read(c, owner.provider_id, counted, owner.mode))
        return json_answer(to_json(_told(found, span)))

    @routes.get("/v1/messages.csv")
    def export() -> Response:
        owner = site.providers.owner(request)
        wanted = _wanted(dict(request.args.lists()), owner)
        answer = streamed_answer(_table(site, owner, wanted), "text/csv; charset=utf-8; header=present")
        answer.headers["Content-Disposition"] = 'attachment; filename="messages.csv"'
        return answer

    return routes


def _span(query: Mapping[str, Sequence[str]], now: datetime) -> tuple[datetime, datetime]:
    """From when until when; the last 24 hours unless asked otherwise, a month at most."""
    read = read_span(query)
    until = read.get("until", now)
    since = read.get("since", until - _DAY)
    if since >= until:
        raise invalid([MemberError("since", "must be before until")])
    if until - since > _LONGEST:
        raise invalid([MemberError("since", f"may lie at most {_LONGEST.days} days before until")])
    return since, until


def _told(found: stats.Stats, span: tuple[datetime, datetime]) -> dict[str, Any]:
    return {
        "since": rfc3339(span[0]),
        "until": rfc3339(span[1]),
        "countedSince": None if found.counted_since is None else rfc3339(found.counted_since),
        "total": _figures(found.total),
        "byType": {row.type: _figures(row) for row in found.by_type},
        "byCountry": {row.country: _figures(row) for row in found.by_country},
    }


def _figures(row: Any) -> dict[str, Any]:
    reported = row.verified + row.unverified
    return {
        "messages": row.messages,
        "statuses": {status: count for status in Status if (count := getattr(row, status))},
        "deadlineHitRate": round(row.in_time / row.due, 4) if row.due else None,
        "secondsToDial": _percentiles(row.dial_s),
        "secondsToAnswer": _percentiles(row.answer_s),
        "outcomes": {
            "verified": row.verified,
            "notVerified": row.unverified,
            "conversionRate": round(row.verified / reported, 4) if reported else None,
        },
    }


def _percentiles(found: Sequence[float] | None) -> dict[str, float | None]:
    p50, p95 = found or (None, None)
    return {"p50": None if p50 is None else round(p50, 3), "p95": None if p95 is None else round(p95, 3)}


def _wanted(query: Mapping[str, Sequence[str]], owner: KeyOwner) -> Wanted:
    if paged := [name for name in PAGES if name in query]:
        raise invalid([MemberError(name, "has no place here: an export gives all that fits") for name in paged])
    wanted = read_query(query, lambda _: None).wanted
    if owner.mode is Mode.LIVE:
        return wanted
    if wanted.mode is Mode.LIVE:
        raise invalid([MemberError("mode", "must be test: a test key sees no live messages")])
    return replace(wanted, mode=Mode.TEST)


def _table(site: Site, owner: KeyOwner, wanted: Wanted) -> Iterator[bytes]:
    """The table, piece by piece: no piece holds a connection to PostgreSQL while it is on its way."""

    def page_after(place: Place | None, patience_s: float) -> Page:
        def read(connection: Connection) -> Page:
            return message_list.page(connection, owner.provider_id, wanted, after=place, limit=_PIECE)

        return ask(site, read, alone=True, patience_s=patience_s)

    def pieces(page: Page) -> Iterator[bytes]:
        yield lines([COLUMNS])
        yield lines(cells(story.head(row)) for row in page.rows)
        while page.after is not None:
            try:
                page = page_after(page.after, _LATER_S)
            except Problem:
                yield lines([_BROKEN_OFF])
                return
            if page.rows:
                yield lines(cells(story.head(row)) for row in page.rows)

    return pieces(page_after(None, _FIRST_S))  # now, while there may still be an error instead
