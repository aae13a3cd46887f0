"""Steps 3 and 4: keep 8x8's webhooks, match them to dial attempts, store what they say."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection

from shared import failpoints
from shared.db.prepared import Prepared
from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import Lane, Status
from shared.matching import Candidate


@dataclass(frozen=True, slots=True)
class RawEvent:
    """A webhook as it came, sealed."""

    dedupe_key: str
    body: bytes
    session_id: str | None = None  # that it names


_KEEP: Final = Prepared(
    """
INSERT INTO webhook_inbox (dedupe_key, body, named_session_id)
SELECT dedupe_key, decode(body, 'base64'), session_id
FROM json_to_recordset(:rows) AS x(dedupe_key text, body text, session_id text)
ON CONFLICT DO NOTHING
""",
    rows="json",
)


def keep(connection: Connection, events: Sequence[RawEvent]) -> None:
    """Store webhooks that are not stored yet."""
    rows = [
        {"dedupe_key": event.dedupe_key, "body": _b64(event.body), "session_id": event.session_id} for event in events
    ]
    failpoints.hit("webhook.before_commit")
    _KEEP(connection, rows=to_json(rows).decode())
    failpoints.hit("webhook.after_commit")


def _b64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A webhook that this worker alone handles until its lease ends."""

    inbox_id: int
    dedupe_key: str
    body: bytes
    attempts: int
    age_s: float
    named: Candidate | None = None  # the attempt of the session that it names, as it stood at the claim


#: Of an attempt *a* and its message *m*: changes whenever one of the two does.
VERSION: Final = "a.xmin::text || ' ' || m.xmin::text"

#: Tries after which a row that kills or fails its worker is set aside.
MAX_TRIES: Final = 5

_CANDIDATE: Final = f"""a.attempt_id, a.session_id, a.subaccount_id, a.source, a.destination_key,
  a.settled_at IS NOT NULL AS is_settled, a.key_pressed, a.answered_at,
  m.id AS message_id, COALESCE(m.attempt_id = a.attempt_id, false) AS is_current, m.status, m.lane, m.plays,
  m.seconds_per_play, m.deadline, m.max_attempts, m.spare_attempts,
  (SELECT count(*) FROM dial_attempts s WHERE s.message_id = m.id
     AND ({MAYBE_ACCEPTED} OR s.attempt_id = a.attempt_id)) AS accepted_attempts,
  m.traceparent, {VERSION} AS version, now() AS now"""

# Nobody waits for the disk: a claim that dies with PostgreSQL is taken again at once, and whoever writes second finds
# another version. The attempts are read as they stood before the claim: a session that became known since is found by
# `match`, and what changed since has another version.
_CLAIM: Final = Prepared(
    f"""
WITH claimed AS (
  UPDATE webhook_inbox SET attempts = attempts + 1, due_at = now() + :lease_s * interval '1 second'
  WHERE inbox_id = ANY (ARRAY(  -- as IN, a plan made on an empty table asked again for each row
    SELECT inbox_id FROM webhook_inbox
    WHERE processed_at IS NULL AND due_at <= now() AND attempts < :tries AND (attempts = 0) = :fresh
    ORDER BY due_at LIMIT :wanted FOR UPDATE SKIP LOCKED))
  RETURNING inbox_id, dedupe_key, body, attempts, received_at, named_session_id
), lazily AS MATERIALIZED (
  SELECT set_config('synchronous_commit', 'off', true) AS is_set
)
SELECT c.inbox_id, c.dedupe_key, c.body, c.attempts, EXTRACT(EPOCH FROM now() - c.received_at)::float8 AS age_s,
  0 AS rank, {_CANDIDATE}
FROM lazily l CROSS JOIN claimed c
LEFT JOIN LATERAL (
  SELECT f.xmin, f.* FROM dial_attempts f WHERE f.session_id = c.named_session_id OFFSET 0) a ON true
LEFT JOIN LATERAL (SELECT m.xmin, m.* FROM messages m WHERE m.id = a.message_id OFFSET 0) m ON true
WHERE l.is_set IS NOT NULL
ORDER BY c.inbox_id
""",
    lease_s="float8",
    tries="int",
    fresh="boolean",
    wanted="int",
)


def claim(connection: Connection, *, wanted: int, lease_s: float) -> list[InboxRow]:
    """Take due webhooks that nobody tried yet, counting the try first: one that kills its worker is counted too."""
    return _take(connection, wanted=wanted, lease_s=lease_s, fresh=True)


def claim_again(connection: Connection, *, lease_s: float) -> list[InboxRow]:
    """Take one webhook whose worker failed or died: alone, so that no other is counted along with it."""
    return _take(connection, wanted=1, lease_s=lease_s, fresh=False)


def _take(connection: Connection, **limits: Any) -> list[InboxRow]:
    return [
        InboxRow(
            row.inbox_id,
            row.dedupe_key,
            bytes(row.body),
            row.attempts,
            row.age_s,
            None if row.message_id is None else _candidate(row),
        )
        for row in _CLAIM(connection, **limits, tries=MAX_TRIES)
    ]


@dataclass(frozen=True, slots=True)
class Question:
    """What an event knows of the attempt that it belongs to; *place* is its place in the batch."""

    place: int
    session_id: str | None
    client_request_id: str | None
    destination_key: bytes | None
    source: str | None


# Each question looks its rows up by itself: joined as sets, a plan made while the tables were small read them whole at
# each use, and compared every event with every call that had no session yet. By destination only: sent under two hours
# ago, still without a session, and not known to be refused. Nothing is locked; whoever writes asks for the version.
_MATCH: Final = Prepared(
    f"""
SELECT q.place, a.rank, {_CANDIDATE}
FROM json_to_recordset(:questions) AS q(
  place int, session_id text, client_request_id text, destination_key text, source text)
CROSS JOIN LATERAL (
  SELECT 0 AS rank, f.xmin, f.* FROM dial_attempts f WHERE f.session_id = q.session_id
  UNION ALL
  SELECT 1, f.xmin, f.* FROM dial_attempts f WHERE f.attempt_id = q.client_request_id AND f.session_id IS NULL
  UNION ALL
  SELECT 2, f.xmin, f.* FROM dial_attempts f
  WHERE q.client_request_id IS NULL AND f.destination_key = decode(q.destination_key, 'base64') AND f.source = q.source
    AND f.settled_at IS NULL AND f.session_id IS NULL
    AND (f.disposition IS NULL OR f.disposition = 'unknown') AND f.started_at > now() - interval '2 hours'
) a
CROSS JOIN LATERAL (SELECT m.xmin, m.* FROM messages m WHERE m.id = a.message_id OFFSET 0) m
ORDER BY q.place, a.rank
""",
    questions="json",
)


def match(connection: Connection, questions: Sequence[Question]) -> dict[int, list[Candidate]]:
    """
    The attempts that each event may belong to, best first; the choice is made in ``shared.matching``.

    They may change before what was decided is written: see :func:`shared.db.queries.settle.write`.
    """
    asked = [
        {
            "place": question.place,
            "session_id": question.session_id,
            "client_request_id": question.client_request_id,
            "destination_key": _b64(question.destination_key),
            "source": question.source,
        }
        for question in questions
    ]
    found: dict[int, list[Candidate]] = {}
    for row in _MATCH(connection, questions=to_json(asked).decode()):
        found.setdefault(row.place, []).append(_candidate(row))
    return found


def _candidate(row: Any) -> Candidate:
    values = {name: getattr(row, name) for name in Candidate.__slots__}
    values["destination_key"] = bytes(row.destination_key)
    values["status"] = Status(row.status)
    values["lane"] = Lane(row.lane)
    return Candidate(**values)
