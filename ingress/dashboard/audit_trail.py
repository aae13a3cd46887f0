"""Who changed what, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from flask import request

from ingress.dashboard.pages import Pages, asked
from ingress.site import Site
from shared.db.queries import audit_log
from shared.db.queries.audit_log import Wanted
from shared.times import parse_time

_PAGE: Final = 50
_LONGEST_WORD: Final = 128


def audit_pages(site: Site) -> Pages:
    """GET /dashboard/audit: ``actor``, ``action``, ``since`` (a day), ``before`` (an entry's number)."""
    routes = Pages("audit_trail", __name__)

    @routes.page("/audit", "audit.html")
    def entries() -> Mapping[str, Any]:
        words = {name: asked(name)[:_LONGEST_WORD] for name in ("actor", "action", "since")}
        try:
            wanted = Wanted(words["actor"] or None, words["action"] or None, None, _day(words["since"]), _before())
        except ValueError:
            return {"rows": [], "asked": words, "older": None, "why": "No such day or page."}
        found = site.services.database.run(lambda c: audit_log.listed(c, wanted, _PAGE + 1))
        older = found[_PAGE - 1]["audit_id"] if len(found) > _PAGE else None
        return {"rows": found[:_PAGE], "asked": words, "older": older}

    return routes


def _day(text: str) -> datetime | None:
    return parse_time(f"{text}T00:00:00Z") if text else None


def _before() -> int | None:
    text = request.args.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise ValueError("no entry's number")
    return int(text)
