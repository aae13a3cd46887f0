"""Calls whose outcome is not known, and the exports of 8x8's call log that are to tell it."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

from shared.db.queries.dial import MAYBE_ACCEPTED
from shared.lifecycle import IN_FLIGHT, Status
from shared.log_evidence import MARGIN, Doubt, Evidence, Rival, Window
from shared.retry_policy import EXPORT_FORGOTTEN_S

_KNOWN_CALLS: Final = 20  # on either side of an attempt; that many must be in the log before it shows an absence

_IS_TIME: Final = text("""
SELECT COALESCE((
  SELECT finished_at IS NOT NULL
    AND created_at <= now() - :interval_s * power(2, LEAST(failures, 4)) * interval '1 second'
  FROM log_exports WHERE subaccount_id = :subaccount_id ORDER BY created_at DESC LIMIT 1), true)
""")


def is_time(connection: Connection, subaccount_id: str, interval_s: float) -> bool:
    """Whether another export may be begun: none is open, and the last one is long enough ago, longer if it failed."""
    asked = {"subaccount_id": subaccount_id, "interval_s": interval_s}
    return bool(connection.execute(_IS_TIME, asked).scalar_one())


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after an attempt's ``valid_until`` until its call is over and should be in the log, speech left out."""

    ring_s: float
    delay_s: float
    answer_s: float  # what a redial needs before its text is heard


# Messages that wait for their summary, and those that waited in vain. Each arm has an index of its own.
_DOUBTS: Final = f"""
WITH open AS (
  SELECT * FROM messages WHERE finished_at IS NULL AND status = ANY (:in_flight)
  UNION ALL
  SELECT * FROM messages WHERE status = 'undetermined' AND finished_at > now() - :forgotten_s * interval '1 second'
), doubts AS (
  SELECT s.attempt_id, m.id AS message_id, m.lane, s.session_id, s.subaccount_id, s.source, s.destination_key,
    s.started_at, s.valid_until,
    s.valid_until + (:ring_s + :delay_s + m.plays * m.seconds_per_play) * interval '1 second' AS ready_at,
    m.status = 'dial_unknown' AND m.attempt_id = s.attempt_id AND m.redial_unknown
      AND (SELECT count(*) FROM dial_attempts s WHERE s.message_id = m.id AND {MAYBE_ACCEPTED}) < m.max_attempts
      AND now() + (:answer_s + m.seconds_per_play) * interval '1 second' < m.deadline AS may_redial,
    COALESCE(l.lookups, 0) AS lookups, l.due_at
  FROM open m JOIN dial_attempts s ON s.message_id = m.id LEFT JOIN log_lookups l ON l.attempt_id = s.attempt_id
  WHERE s.settled_at IS NULL AND {MAYBE_ACCEPTED} AND s.subaccount_id = :subaccount_id
    AND s.started_at > now() - :forgotten_s * interval '1 second'
)
SELECT {{columns}} FROM doubts WHERE {{chosen}} ORDER BY {{order}} LIMIT {{page}}
"""
_COLUMNS: Final = ", ".join(Doubt.__slots__)
_DUE: Final = text(
    _DOUBTS.format(
        columns=_COLUMNS,
        chosen="ready_at <= now() AND COALESCE(due_at <= now(), true)",
        order="lookups, started_at",
        page=1000,
    )
)
_WITHIN: Final = text(
    _DOUBTS.format(
        columns=_COLUMNS,
        chosen="ready_at <= :requested_at AND started_at BETWEEN :since AND :until",
        order="started_at",
        page=10_000,
    )
)


def due(connection: Connection, subaccount_id: str, patience: Patience) -> list[Doubt]:
    """Attempts that the log is to be asked about now."""
    return _doubts(connection, _DUE, subaccount_id, patience)


def within(connection: Connection, export: Export, patience: Patience) -> list[Doubt]:
    """Attempts that an export may tell something about: in its window, and over when it was asked for."""
    span = {"since": export.since, "until": export.until, "requested_at": export.requested_at}
    return _doubts(connection, _WITHIN, export.subaccount_id, patience, **span)


def _doubts(connection: Connection, statement: Any, subaccount_id: str, patience: Patience, **span: Any) -> list[Doubt]:
    known = {
        "subaccount_id": subaccount_id,
        "in_flight": [status for status in sorted(IN_FLIGHT) if status is not Status.DIALING],
        "forgotten_s": EXPORT_FORGOTTEN_S,
        "ring_s": patience.ring_s,
        "delay_s": patience.delay_s,
        "answer_s": patience.answer_s,
    }
    rows = connection.execute(statement, known | span)
    return [Doubt(**row._asdict() | {"destination_key": bytes(row.destination_key)}) for row in rows]


# A second sweeper that begins in the same moment runs into the key.
_BEGIN: Final = text("""
INSERT INTO log_exports (export_id, subaccount_id, since, until, state, failures, due_at)
VALUES (:export_id, :subaccount_id, :since, :until, 'open', COALESCE((
  SELECT failures FROM log_exports WHERE subaccount_id = :subaccount_id ORDER BY created_at DESC LIMIT 1), 0), now())
ON CONFLICT DO NOTHING
""")


def begin(connection: Connection, export_id: str, subaccount_id: str, window: Window) -> bool:
    """Write down that the log is to be exported; False where one is open already."""
    asked = {"export_id": export_id, "subaccount_id": subaccount_id, "since": window.since, "until": window.until}
    _purge(connection)
    return connection.execute(_BEGIN, asked).rowcount == 1


@dataclass(frozen=True, slots=True)
class Export:
    """An export that this process alone drives on until its lease ends."""

    export_id: str
    subaccount_id: str
    since: datetime
    until: datetime
    job_id: str | None
    requested_at: datetime | None
    jobs: int
    tries: int
    created_at: datetime
    now: datetime

    @property
    def window(self) -> Window:
        """What it asks for."""
        return Window(self.since, self.until)


# A POST is counted before it leaves: whoever dies after it repeats it, but not for ever.
_CLAIM: Final = text("""
UPDATE log_exports SET
  due_at = now() + :lease_s * interval '1 second', tries = tries + 1, jobs = jobs + (job_id IS NULL)::int
WHERE export_id = (
  SELECT export_id FROM log_exports WHERE subaccount_id = :subaccount_id AND state = 'open' AND due_at <= now()
  FOR UPDATE SKIP LOCKED)
RETURNING export_id, subaccount_id, since, until, job_id, requested_at, jobs, tries, created_at, now() AS now
""")


def claim(connection: Connection, subaccount_id: str, lease_s: float) -> Export | None:
    """Take the export that is due."""
    row = connection.execute(_CLAIM, {"subaccount_id": subaccount_id, "lease_s": lease_s}).first()
    return None if row is None else Export(**row._asdict())


_OURS: Final = "export_id = :export_id AND tries = :tries AND state = 'open'"
_KEEP_JOB: Final = text(f"""
UPDATE log_exports SET job_id = :job_id, requested_at = :requested_at, due_at = now() + :wait_s * interval '1 second'
WHERE {_OURS}
""")
_END: Final = text(f"""
UPDATE log_exports SET state = :state, reason = :reason, due_at = NULL, finished_at = now(),
  failures = CASE WHEN :state = 'failed' THEN failures + 1 ELSE 0 END
WHERE {_OURS}
""")


def keep_job(
    connection: Connection, export: Export, job_id: str | None, requested_at: datetime | None, wait_s: float
) -> bool:
    """Look again in *wait_s* at the job, or without one ask for one then; False if the lease was lost."""
    values = {"job_id": job_id, "requested_at": requested_at, "wait_s": wait_s}
    return connection.execute(_KEEP_JOB, _fence(export) | values).rowcount == 1


def end(connection: Connection, export: Export, *, failed: str | None = None) -> bool:
    """The export is over, for the reason *failed* if it came to nothing; False if the lease was lost."""
    values = {"state": "failed" if failed else "done", "reason": failed}
    return connection.execute(_END, _fence(export) | values).rowcount == 1


def _fence(export: Export) -> dict[str, Any]:
    return {"export_id": export.export_id, "tries": export.tries}


_RIVALS: Final = text("""
SELECT s.attempt_id, s.subaccount_id, s.source, s.destination_key, s.started_at, s.valid_until
FROM (SELECT DISTINCT decode(key, 'base64') AS key FROM unnest(CAST(:keys AS text[])) AS k(key)) k
JOIN dial_attempts s ON s.destination_key = k.key
WHERE s.session_id IS NULL AND (s.disposition IS NULL OR s.disposition = 'unknown')
  AND s.started_at > now() - 2 * :forgotten_s * interval '1 second'
""")


def rivals(connection: Connection, destination_keys: Collection[bytes]) -> list[Rival]:
    """Every attempt to these numbers that has no session: a call in the log may belong to any of them."""
    keys = sorted(base64.b64encode(key).decode() for key in destination_keys)
    rows = connection.execute(_RIVALS, {"keys": keys, "forgotten_s": EXPORT_FORGOTTEN_S})
    return [Rival(**row._asdict() | {"destination_key": bytes(row.destination_key)}) for row in rows]


def bound(connection: Connection, session_ids: Collection[str]) -> frozenset[str]:
    """Those of these sessions that belong to attempts of ours."""
    rows = connection.execute(
        text("SELECT session_id FROM dial_attempts WHERE session_id = ANY (:ids)"), {"ids": sorted(session_ids)}
    )
    return frozenset(row.session_id for row in rows)


# Ids of attempts follow the time of their messages, so an attempt's neighbours were mostly dialled when it was.
_KNOWN_CALL: Final = text("""
SELECT session_id FROM (
  (SELECT * FROM dial_attempts WHERE attempt_id > :attempt_id ORDER BY attempt_id LIMIT :page)
  UNION ALL
  (SELECT * FROM dial_attempts WHERE attempt_id < :attempt_id ORDER BY attempt_id DESC LIMIT :page)) a
WHERE settled_at <= :requested_at AND session_status IN ('COMPLETED', 'NO_ANSWER', 'BUSY')
  AND session_id IS NOT NULL AND subaccount_id = :subaccount_id AND started_at >= :since AND valid_until <= :until
""")


def known_calls(connection: Connection, export: Export, doubts: Sequence[Doubt]) -> frozenset[str]:
    """Sessions that an export must have, as 8x8 reported them: calls around the first and the last in doubt."""
    asked = {
        "page": _KNOWN_CALLS,
        "requested_at": export.requested_at,
        "subaccount_id": export.subaccount_id,
        "since": export.since + MARGIN,
        "until": export.until - MARGIN,
    }
    around = {doubt.attempt_id for doubt in (*doubts[:1], *doubts[-1:])}
    found = [connection.execute(_KNOWN_CALL, asked | {"attempt_id": id_}) for id_ in sorted(around)]
    return frozenset(row.session_id for rows in found for row in rows)


_LOOKED_UP: Final = text("""
INSERT INTO log_lookups (attempt_id, lookups, shown, due_at)
SELECT attempt_id, 1, shown, now() + wait_s * interval '1 second'
FROM json_to_recordset(:rows) AS x(attempt_id text, shown text, wait_s float8)
ON CONFLICT (attempt_id) DO UPDATE SET
  lookups = LEAST(log_lookups.lookups + 1, 1000), shown = excluded.shown, due_at = excluded.due_at
""")


def looked_up(connection: Connection, found: Sequence[Evidence], waits_s: Mapping[str, float]) -> None:
    """Note what the log showed, and when each attempt may be asked about again."""
    rows = [
        {"attempt_id": one.doubt.attempt_id, "shown": one.shown, "wait_s": waits_s[one.doubt.attempt_id]}
        for one in found
    ]
    connection.execute(_LOOKED_UP, {"rows": to_json(rows).decode()})


_PURGE: Final = (
    text("DELETE FROM log_lookups WHERE due_at < now() - :forgotten_s * interval '1 second'"),
    text("DELETE FROM log_exports WHERE created_at < now() - interval '30 days' AND state <> 'open'"),
)


def _purge(connection: Connection) -> None:
    connection.execute(_PURGE[0], {"forgotten_s": EXPORT_FORGOTTEN_S})
    connection.execute(_PURGE[1])
