"""Hold back a type of message and let it go again, as an operator asks."""

from __future__ import annotations

from sqlalchemy import Connection

from shared.db.queries import audit_log, stops
from shared.lifecycle import Lane
from shared.stops import Scope, Stop


def pause(connection: Connection, lane: Lane, *, actor: str) -> bool:
    """Dial no more messages of the lane; False when it was stopped already."""
    if stops.find(connection, Scope.LANE, lane) is not None:
        return False
    stops.stop(connection, Stop(Scope.LANE, lane), reason="paused", by=actor)
    audit_log.note(connection, actor, "lane.pause", lane, before={"paused": False}, after={"paused": True})
    return True


def resume(connection: Connection, lane: Lane, *, actor: str) -> bool:
    """Dial them again; False when it was not stopped."""
    before = stops.find(connection, Scope.LANE, lane)
    if before is None or not stops.go(connection, Scope.LANE, lane):
        return False
    was = {"paused": True} | {name: before[name] for name in ("reason", "stopped_by", "stopped_at", "until")}
    audit_log.note(connection, actor, "lane.resume", lane, before=was, after={"paused": False})
    return True
