"""/docs: open to all, as it tells nothing of anybody."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response

from ingress.docs import pages
from ingress.lean import LeanResponse
from ingress.problems import Problem

_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: A drawing brings its own style, and nothing else.
_DRAWING_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def document_routes() -> Blueprint:
    """GET /docs and the pages and files below it."""
    routes = Blueprint("docs", __name__)

    @routes.get("/docs")
    def index() -> Response:
        return _answer("")

    @routes.get("/docs/<page>")
    def page(page: str) -> Response:
        return _answer(page)

    return routes


def _answer(name: str) -> Response:
    found = pages.file(name)
    if found is None:
        raise Problem("not_found", "There is no such page.")
    body, media = found
    answer = LeanResponse(body, content_type=media)
    answer.headers.update(_HEADERS)
    answer.headers["Content-Security-Policy"] = _DRAWING_POLICY if media.startswith("image/") else _PAGE_POLICY
    return answer
