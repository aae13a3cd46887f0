"""Who changed what, the newest first."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from flask import Blueprint, render_template, request

from ingress.site import Site
from shared.db.queries import audit_log
from shared.db.queries.audit_log import Wanted
from shared.times import parse_time

_PAGE: Final = 50
_LONGEST_WORD: Final = 128


def audit_pages(site: Site) -> Blueprint:
    """GET /dashboard/audit: ``actor``, ``action``, ``since`` (a day), ``before`` (an entry's number)."""
    routes = Blueprint("audit_trail", __name__)

    @routes.get("/audit")
    def entries() -> str | tuple[str, int]:
        asked = {
            name: request.args.get(name, "").replace("\0", "").strip()[:_LONGEST_WORD]
            for name in ("actor", "action", "since")
        }
        try:
            wanted = Wanted(asked["actor"] or None, asked["action"] or None, None, _day(asked["since"]), _before())
        except ValueError:
            return render_template("audit.html", rows=[], asked=asked, older=None, why="No such day or page."), 422
        found = site.services.database.run(lambda c: audit_log.listed(c, wanted, _PAGE + 1))
        rows = [dict(row) | {"before": _shown(row["before"]), "after": _shown(row["after"])} for row in found[:_PAGE]]
        older = rows[-1]["audit_id"] if len(found) > _PAGE else None
        return render_template("audit.html", rows=rows, asked=asked, older=older, why=None)

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


def _shown(value: Any) -> str:
    """What was noted, as short as it can be read."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_word(one)}" for name, one in value.items())
    return _word(value)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
