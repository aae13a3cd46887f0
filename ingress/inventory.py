"""The API's own description, for whoever writes a client of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from flask import Blueprint, Response

from ingress.lean import json_answer

#: Written by ``python -m ingress.openapi``; nothing of what writes it is needed to serve it.
_DOCUMENT: Final = Path(__file__).parent / "openapi" / "openapi.json"


def inventory_routes() -> Blueprint:
    """GET /openapi.json."""
    routes = Blueprint("inventory", __name__)
    document = json.dumps(json.loads(_DOCUMENT.read_bytes()), separators=(",", ":")).encode()

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return json_answer(document)

    return routes
