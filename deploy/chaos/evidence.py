"""Gathers what a drill left behind: the history, 8x8's ledger, the receiver's, and the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from deploy.chaos import history
from deploy.chaos.receiver import read_ledger
from deploy.chaos.records import Attempt, Evidence, Post, Row, Session
from deploy.chaos.stage import Stage
from shared.db import conservation
from shared.lifecycle import FINAL_EVENT_TYPES

_AUDIT_GRACE_S = 15.0

_OPEN = text("SELECT count(*) FROM messages WHERE finished_at IS NULL AND created_at >= to_timestamp(:since)")
_UNFINISHED = text("""
SELECT count(*) FROM messages m WHERE m.created_at >= to_timestamp(:since) AND (
  m.finished_at IS NULL
  OR EXISTS (SELECT 1 FROM callbacks c WHERE c.message_id = m.id AND c.state IN ('due', 'sending')))
""")
_ROWS = text("""
SELECT m.id, m.message_id, m.status, m.reason, m.content IS NOT NULL AS has_text,
  m.max_attempts + m.spare_attempts AS most_calls, extract(epoch FROM m.created_at)::float8 AS created_at,
  -- A correction comes later: what counts is when the message was first told to be final.
  extract(epoch FROM LEAST(m.finished_at, (SELECT min(f.occurred_at) FROM feed_events f
    WHERE f.message_id = m.id AND f.type = ANY (:finals))))::float8 AS finished_at,
  EXISTS (SELECT 1 FROM callbacks c WHERE c.message_id = m.id AND c.state = 'parked') AS is_parked
FROM messages m WHERE m.created_at >= to_timestamp(:since)
""")
_ATTEMPTS = text("""
SELECT a.attempt_id, a.message_id AS id, a.number FROM dial_attempts a JOIN messages m ON m.id = a.message_id
WHERE m.created_at >= to_timestamp(:since)
""")

_FORMER = text("SELECT message_id FROM messages WHERE created_at < to_timestamp(:since)")


def count_open(connection: Connection, since: float) -> int:
    """How many messages that came after *since* (Unix) are not final."""
    return int(connection.execute(_OPEN, {"since": since}).scalar_one())


def count_unfinished(connection: Connection, since: float) -> int:
    """How many of them are not final, or not called back yet."""
    return int(connection.execute(_UNFINISHED, {"since": since}).scalar_one())


def gather(stage: Stage, histories: Sequence[Path], since: float) -> Evidence:
    """All that happened after *since* (Unix)."""
    calls = [session_of(entry) for entry in stage.calls()]
    with stage.callbacks.open() as ledger:
        deliveries = read_ledger(ledger)
    with stage.database.transaction() as connection:
        known = {"since": since}
        finals = {"finals": list(FINAL_EVENT_TYPES)}
        rows = [Row(**row._mapping) for row in connection.execute(_ROWS, known | finals)]  # noqa: SLF001  SQLAlchemy's own way
        attempts = [Attempt(**row._mapping) for row in connection.execute(_ATTEMPTS, known)]  # noqa: SLF001
        audit = {one.kind: one.ids for one in conservation.findings(connection, _AUDIT_GRACE_S)}
        former = {row.message_id for row in connection.execute(_FORMER, known)}
    return Evidence(
        history=history.read(histories),
        sessions=tuple(call for call in calls if call.accepted_at >= since),
        # What an earlier drill left undetermined may be corrected in this one.
        deliveries=tuple(one for one in deliveries if one.at >= since and one.message_id not in former),
        rows=tuple(rows),
        attempts=tuple(attempts),
        audit=audit,
    )


def session_of(entry: dict[str, Any]) -> Session:
    """A session from the simulator's ledger."""
    posts: dict[str, list[Post]] = {"VSS": [], "VCA": []}
    for sent in entry["webhooks"]:
        posts[sent["type"]].append(Post(_unix(sent["sentAt"]), sent["cameBack"]))
    return Session(
        destination=entry["destination"],
        session_id=entry["sessionId"],
        request_id=entry["clientRequestId"],
        accepted_at=_unix(entry["acceptedAt"]),
        status=entry["sessionStatus"],
        vss=tuple(posts["VSS"]),
        vca=tuple(posts["VCA"]),
    )


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
