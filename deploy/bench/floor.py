"""
For comparison only: what stores nothing. Flask parses a body and replies, on our routes.

The floor of the goals is :func:`create`: the server, processes, event loop and lean Flask of our ingress, so that
what it lacks is what Ringpost does: check, seal, estimate, commit. The gate is ours, too, so the floor's stands open.
:func:`create_wsgi` is plain Flask on granian's WSGI, a side figure: what a service without an event loop would run on.
"""

from __future__ import annotations

import json

from flask import Flask, Response, request

from ingress.gate import Gate, Leave, Submission, nothing
from ingress.lean import LeanFlask
from ingress.server import Server
from shared import collector, lifeline


class OpenGate(Gate):
    """Lets everybody in at once."""

    def refuses(self, submission: Submission) -> bool:  # noqa: ARG002  the gate's signature
        """Never."""
        return False

    async def enter(self, submission: Submission) -> Leave:  # noqa: ARG002  the gate's signature
        """Without a turn."""
        return nothing


def create() -> Server:
    """One process of the ingress' own server: `granian --interface rsgi --factory deploy.bench.floor:create`."""
    lifeline.die_with_parent()
    server = Server(routes(LeanFlask(__name__, static_folder=None)), OpenGate())
    collector.spare_the_living()
    return server


def create_wsgi() -> Flask:
    """One process of granian's WSGI: `granian --interface wsgi --factory deploy.bench.floor:create_wsgi`."""
    lifeline.die_with_parent()
    return routes(Flask(__name__))


def routes(app: Flask) -> Flask:
    """*app* with the routes that are compared."""

    @app.post("/api/make-call")
    def make_call() -> Response:
        body = json.loads(request.get_data(cache=False))
        return _told({"success": True, "data": {"messageId": body["messageId"], "status": "queued"}})

    @app.post("/api/webhooks/vss")
    def summary() -> Response:
        json.loads(request.get_data(cache=False))
        return _told({"status": "ok"})

    @app.get("/readyz")
    def ready() -> Response:
        return _told({})

    def _told(answer: dict[str, object]) -> Response:
        return app.response_class(json.dumps(answer), content_type="application/json")

    return app
