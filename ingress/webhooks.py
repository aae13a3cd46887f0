"""Step 3 of 5: keep what 8x8 reports, and answer at once. What it means is decided later, elsewhere."""

from __future__ import annotations

from typing import Final

import structlog
from flask import Blueprint, Response, request

from ingress import bodies
from ingress.lean import json_answer
from ingress.problems import Problem
from ingress.site import Site
from shared import failpoints
from shared.db.database import DatabaseAway
from shared.db.group_commit import Overloaded
from shared.db.queries.inbox import RawEvent
from shared.strand import aside
from shared.voice_api.callflow import HANG_UP_REPLY, hang_up_reply
from shared.voice_api.events import glance

#: What the addresses of webhooks begin with. What follows may be a secret.
PREFIX: Final = "/api/webhooks/"
#: All that 8x8 may be told to send beside call actions; the eventType tells what it is.
_REPORTS: Final = ("vss", "vcs", "vru", "vnu")
#: Longest wait for the commit, in seconds; then the spool takes over. The callee hears silence meanwhile.
_COMMIT_S: Final = 1
_OK: Final = b'{"status":"ok"}'

log = structlog.get_logger()


def webhook_routes(site: Site) -> Blueprint:
    """
    POST /api/webhooks/vca, /vss, /vcs, /vru, /vnu. What a body is, its eventType says, not the address.

    With a WEBHOOK_PATH_SECRET they are at /api/webhooks/<secret>/vca and so on, and nowhere else. It is compared, not
    routed by: a router's time tells how far an address was right.
    """
    routes = Blueprint("webhooks", __name__)
    prefix = PREFIX + ("<secret>/" if site.webhooks.has_path_secret else "")

    @routes.post(f"{prefix}vca")
    def vca(secret: str = "") -> Response:
        site.webhooks.check(request, secret)
        raw = bodies.read_any(request, bodies.WEBHOOK_LIMIT)
        if raw is None:
            log.warning("webhook_too_large", bytes=request.content_length)
            return json_answer(HANG_UP_REPLY)
        try:
            return json_answer(_keep(site, raw) or HANG_UP_REPLY)
        except Exception:  # whatever happens here, the call must be hung up
            log.exception("call_action_not_kept", session_id=glance(raw).session_id)
            return json_answer(HANG_UP_REPLY)

    def report(secret: str = "") -> Response:
        site.webhooks.check(request, secret)
        raw = bodies.read_any(request, bodies.WEBHOOK_LIMIT)
        if raw is None:
            raise Problem("body_too_large", f"A webhook may have at most {bodies.WEBHOOK_LIMIT} bytes.")
        try:
            return json_answer(_keep(site, raw) or _OK)
        except Exception:  # neither PostgreSQL nor the disk takes it, whatever their reasons
            log.exception("event_not_kept", session_id=glance(raw).session_id)
            raise Problem("unavailable", "The event could not be kept. Send it again.", retry_after_s=1) from None

    for kind in _REPORTS:  # without a path secret each is a path without a variable, which takes no routing
        routes.post(f"{prefix}{kind}")(report)
    return routes


def shown_path(path: str) -> str:
    """A request's path as it may be logged."""
    return f"{PREFIX}…" if path.startswith(PREFIX) else path


def _keep(site: Site, raw: bytes) -> bytes | None:
    """
    Store the raw event, in PostgreSQL or else on disk.

    Returns:
        The reply that the event itself asks for: a call action is answered with a hangup, wherever it came in.

    Raises:
        Exception: Neither takes it. Never for a call action, which must be answered all the same.
    """
    seen = glance(raw)
    kept = RawEvent(seen.dedupe_key, site.services.sealer.seal(raw, row=seen.dedupe_key), seen.session_id)
    reply = None if seen.action is None else hang_up_reply(seen.action.client_action_id)
    try:
        site.events.put([kept], _COMMIT_S)
    except Exception as error:
        if not isinstance(error, DatabaseAway | Overloaded):
            log.exception("event_not_stored", session_id=seen.session_id)
        try:
            aside(lambda: site.spool.append(kept), site.spool.threads)
        except Exception:
            if reply is None:
                raise
            log.exception("call_action_not_kept", session_id=seen.session_id)
    failpoints.hit("webhook.before_reply")
    return reply
