"""For comparison only: Flask that parses and replies, and stores nothing: `granian … deploy.bench.floor:create`."""

from __future__ import annotations

import json

from flask import Flask, Response, request

from shared import lifeline


def create() -> Flask:
    """The application of one process."""
    lifeline.die_with_parent()
    app = Flask(__name__)

    @app.post("/api/make-call")
    def make_call() -> Response:
        body = json.loads(request.get_data(cache=False))
        told = {"success": True, "data": {"messageId": body["messageId"], "status": "queued"}}
        return Response(json.dumps(told), content_type="application/json")

    @app.get("/readyz")
    def ready() -> Response:
        return Response("{}", content_type="application/json")

    return app
