"""What was set aside for a person to decide: callbacks, webhooks, held and doubtful messages, spooled files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import abort, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from ingress.dashboard.pages import Note, Pages, act, asked, told
from ingress.site import Site
from shared import jobs
from shared.db import doubts, reports
from shared.db.queries import callbacks, failover, operations

#: Of each kind.
_MOST: Final = 100

_Change = Callable[[Connection, str], bool]


def _retry_event(connection: Connection, id_: str) -> bool:
    return operations.retry_event(connection, _number(id_))


def _discard_event(connection: Connection, id_: str) -> bool:
    return operations.discard_event(connection, _number(id_))


def _release(connection: Connection, id_: str) -> bool:
    return failover.release(connection, [id_]) == 1


def _end(connection: Connection, id_: str) -> bool:
    return failover.discard(connection, [id_]) == 1


#: What may be done to each kind: action, change, and the states before and after it for the audit trail.
_CHANGES: Final[Mapping[tuple[str, str], tuple[_Change, str, str]]] = {
    ("callback", "resend"): (callbacks.resend, "parked", "due"),
    ("callback", "discard"): (operations.discard_callback, "parked", "given up"),
    ("event", "resend"): (_retry_event, "set aside", "due"),
    ("event", "discard"): (_discard_event, "set aside", "given up"),
    ("message", "resend"): (_release, "held", "due"),
    ("message", "discard"): (_end, "held", "given up"),
}
_RINGS: Final[Mapping[str, tuple[jobs.Job, ...]]] = {
    "callback": (jobs.DELIVER_CALLBACKS,),
    "event": (jobs.RECONCILE_EVENTS,),
    "message": (),
}


def set_aside_pages(site: Site) -> Pages:
    """/dashboard/parked and what is done there."""
    routes = Pages("set_aside", __name__)

    @routes.page("/parked", "parked.html")
    def listed() -> Mapping[str, Any]:
        return site.services.database.run(_listed) | {
            "spooled": sorted(path.name for path in site.settings.spool_dir.glob("*.parked"))[:_MOST],
            "most": _MOST,
        }

    @routes.post("/parked/<kind>/<id_>/<action>")
    def change(kind: str, id_: str, action: str) -> Response | tuple[str, int]:
        return _change(site, kind, id_, action)

    @routes.post("/parked/event/<id_>/match")
    def match(id_: str) -> Response | tuple[str, int]:
        number, message_id = _number(id_), asked("message")
        answer = act(
            site,
            lambda c: operations.match_event(c, number, message_id),
            Note("event.match", id_, {"message": None}, {"message": message_id}),
            back=url_for("set_aside.listed"),
            why="There is no such webhook without a match, or no call of that message that lacks a session.",
        )
        site.services.doorbell.ring(jobs.RECONCILE_EVENTS)
        return answer

    return routes


def _change(site: Site, kind: str, id_: str, action: str) -> Response | tuple[str, int]:
    found = _CHANGES.get((kind, action))
    if found is None:
        abort(404)
    reason, back, (do, before, after) = asked("reason"), url_for("set_aside.listed"), found
    if action == "discard" and not reason:
        return told("Nothing changed", "Say why it is given up.", 422, back)
    answer = act(
        site,
        lambda c: do(c, id_),
        Note(f"{kind}.{action}", id_, {"state": before}, {"state": after} | ({"reason": reason} if reason else {})),
        back=back,
        why="It is not set aside any more.",
    )
    for job in _RINGS[kind]:
        site.services.doorbell.ring(job)
    return answer


def _listed(connection: Connection) -> dict[str, Any]:
    return {
        "callbacks": reports.parked_callbacks(connection, _MOST),
        "events": reports.parked_events(connection, _MOST),
        "held": failover.held(connection, limit=_MOST),
        "doubtful": doubts.unsettled(connection, _MOST),
        "undetermined": doubts.undetermined(connection, _MOST),
    }


def _number(id_: str) -> int:
    if not (id_.isascii() and id_.isdecimal() and len(id_) < 19):
        abort(404)
    return int(id_)
