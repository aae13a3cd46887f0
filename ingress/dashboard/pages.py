"""A page as people see it, and with .json behind its address the same as programs read it; and what forms ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

from flask import Blueprint, Response, g, redirect, render_template, request
from pydantic_core import to_json
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from ingress.site import Site
from shared.as_json import json_of
from shared.db.queries import audit_log

#: What the JSON twin of a page is called, behind the page's name.
TWIN: Final = "_json"
#: Why something is wrong with what was asked, among what a page shows.
WHY: Final = "why"
_UNPROCESSABLE: Final = 422
#: The longest word that any form asks for.
_LONGEST: Final = 500

View = Callable[..., Mapping[str, Any]]


class Pages(Blueprint):
    """Pages that belong together."""

    def page(self, rule: str, template: str) -> Callable[[View], View]:
        """
        Show what the view returns: under *rule* by *template*, under *rule* with ``.json`` behind it as JSON.

        Where ``why`` is among it, what was asked is wrong, and the answer a 422.
        """

        def register(view: View) -> View:
            @wraps(view)
            def html(**path: Any) -> tuple[str, int]:
                shown = view(**path)
                return render_template(template, **({WHY: None} | dict(shown))), _status(shown)

            @wraps(view)
            def json(**path: Any) -> Response:
                shown = view(**path)
                return Response(to_json(json_of(shown)), _status(shown), content_type="application/json")

            self.add_url_rule(rule, view.__name__, html, methods=["GET"])
            self.add_url_rule(f"{rule}.json", view.__name__ + TWIN, json, methods=["GET"])
            return view

        return register


def _status(shown: Mapping[str, Any]) -> int:
    return _UNPROCESSABLE if shown.get(WHY) else 200


def is_twin() -> bool:
    """Whether a program asked, and not a browser."""
    return (request.endpoint or "").endswith(TWIN)


def who() -> str:
    """The operator who asked."""
    name: str = g.visitor.operator.name
    return name


def asked(name: str) -> str:
    """What a form or an address says of *name*, cut to what anything of ours may be; empty when it says nothing."""
    return request.values.get(name, "").replace("\0", "").strip()[:_LONGEST]


@dataclass(frozen=True, slots=True)
class Note:
    """What the audit trail says of an action."""

    action: str
    target: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def act(
    site: Site, change: Callable[[Connection], object], note: Note, *, back: str, why: str
) -> tuple[str, int] | AnyResponse:
    """
    Do what an operator asks, with its note in the same transaction, and show the page *back*.

    Args:
        site: Of this process.
        change: Gives something false where nothing changed; must be safe to repeat.
        note: For the audit trail.
        back: Where to go on.
        why: What to tell where nothing changed; a 409.
    """
    by = who()

    def work(connection: Connection) -> bool:
        if not change(connection):
            return False
        audit_log.note(connection, by, note.action, note.target, before=note.before, after=note.after)
        return True

    if site.services.database.run(work):
        return redirect(back, 303)
    return told("Nothing changed", why, 409, back)


def told(title: str, text: str, status: int = 200, back: str | None = None) -> tuple[str, int]:
    """What came of an action, where no page shows it."""
    return render_template("message.html", title=title, text=text, back=back), status
