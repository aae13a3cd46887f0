"""Rows by the thousand, as the measurements need them: what would take hours through the front door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, text

from deploy.bench.load.ledger import FIRST_PHONE
from deploy.bench.stage import SOURCE, SUBACCOUNT, Stage
from shared.db.queries import accept
from shared.db.queries.accept import NewMessage
from shared.ids import new_id

_BATCH: Final = 1000
_TEXT: Final = "Your code is 4, 7, 1, 1."

#: Columns and values of a waiting message; ``{key}`` is any expression that differs from row to row.
COLUMNS: Final = (
    "id, provider_id, message_id, fingerprint, lane, status, content, destination_key, destination_masked, country,"
    " source, voice, speed, plays, seconds_per_play, interruptible, max_attempts, spare_attempts, redial_unknown,"
    " metadata, warnings, deadline, due_at"
)
WAITING: Final = (
    "'msg_' || {key}, :provider, 'bulk-' || {key}, decode(md5({key}::text), 'hex'), :lane, 'queued',"
    " decode(repeat(md5({key}::text), 5), 'hex'), decode(md5({key}::text), 'hex'), '+65****4567', 'SG', '"
    + SOURCE
    + "',"
    " 'en-US-BenjaminRUS', 1, 2, 4, false, 2, 5, false, '{{}}', '[]', now() + interval '1 day', now()"
)


def fill_finished(connection: Connection, provider_id: str, first: int, last: int) -> None:
    """Messages that were delivered, over the last weeks, each with its dial attempt."""
    span = {"first": first, "last": last, "provider": provider_id, "subaccount": SUBACCOUNT}
    connection.execute(
        text(f"""
        INSERT INTO messages ({COLUMNS.replace(", deadline, due_at", "")},
          deadline, attempt, session_id, created_at, updated_at, finished_at)
        SELECT 'msg_' || lpad(n::text, 26, '0'), :provider, 'old-' || n, decode(md5(n::text), 'hex'), 'otp',
          'delivered', NULL, decode(md5(n::text), 'hex'), '+65****4567', 'SG',
          '{SOURCE}', 'en-US-BenjaminRUS', 1, 2, 4, false, 2, 5,
          false, '{{}}', '[]', at + interval '2 minutes', 1, 'session-' || n, at, at, at
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n,
          LATERAL (SELECT now() - n * interval '2 seconds' AS at) AS moment
        """),
        span,
    )
    connection.execute(
        text(f"""
        INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source, destination_key,
          valid_until, started_at, replied_at, disposition, session_id, session_status, settled_at)
        SELECT 'att_' || lpad(n::text, 26, '0') || '_1', 'msg_' || lpad(n::text, 26, '0'), 1, 'claim_old', :subaccount,
          '{SOURCE}', decode(md5(n::text), 'hex'), now(), now(), now(), 'created', 'session-' || n, 'COMPLETED', now()
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
        """),
        span,
    )


def fill_waiting(connection: Connection, provider_id: str, lane: str, first: int, last: int) -> None:
    """Messages that wait to be dialled; nobody could read their contents."""
    connection.execute(
        text(
            f"INSERT INTO messages ({COLUMNS}) SELECT "
            + WAITING.format(key="lpad(n::text, 26, 'w')")
            + " FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n"
        ),
        {"first": first, "last": last, "provider": provider_id, "lane": lane},
    )


def clear_waiting(connection: Connection) -> None:
    """Take away whatever is not finished."""
    connection.execute(text("DELETE FROM messages WHERE finished_at IS NULL"))


def fill_callbacks(
    connection: Connection,
    provider_id: str,
    endpoint_id: str,
    first: int,
    last: int,
    *,
    are_done: bool = False,
) -> None:
    """Delivered messages, each told to the provider's feed, with a callback that is due, or done."""
    fill_finished(connection, provider_id, first, last)
    span = {"first": first, "last": last, "provider": provider_id, "endpoint": endpoint_id, "done": are_done}
    connection.execute(
        text("""
        INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts)
        SELECT 'evt_' || lpad(n::text, 26, '0'), :provider, n, 'msg_' || lpad(n::text, 26, '0'), 'message.delivered',
          'delivered', '{"attempts": 1, "sessionId": "session", "durationSeconds": 9, "heard": "full"}'
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
        """),
        span,
    )
    connection.execute(
        text("""
        INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, state, due_at, finished_at)
        SELECT 'cb_' || lpad(n::text, 26, '0'), 'evt_' || lpad(n::text, 26, '0'), :endpoint,
          'msg_' || lpad(n::text, 26, '0'), CASE WHEN :done THEN 'done' ELSE 'due' END,
          CASE WHEN NOT :done THEN now() END, CASE WHEN :done THEN now() END
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
        """),
        span,
    )
    connection.execute(
        text("UPDATE providers SET last_sequence = GREATEST(last_sequence, :last) WHERE provider_id = :provider"), span
    )


def new_messages(stage: Stage, provider_id: str, lane: str, phones: range, prefix: str) -> Iterator[NewMessage]:
    """Messages as the ingress would store them: real numbers, sealed."""
    sealer = stage.services.sealer
    for number, phone in enumerate(phones):
        id_, e164 = new_id("msg"), f"+{phone}"
        content = json.dumps({"destination": e164, "text": _TEXT}).encode()
        yield NewMessage(
            id=id_, provider_id=provider_id, message_id=f"{prefix}-{number}", fingerprint=b"f" * 16, lane=lane,
            content=sealer.seal(content, row=id_), destination_key=sealer.destination_key(e164),
            destination_masked="+65****4567", country="SG", source=SOURCE, voice="en-US-BenjaminRUS", speed=1.0,
            plays=2, seconds_per_play=4.0, interruptible=False, max_attempts=1, spare_attempts=5, redial_unknown=False,
            endpoint_id=None, metadata={}, warnings=[], scheduled_at=None, expires_at=None, ttl_s=14400,
        )  # fmt: skip


def queue(stage: Stage, provider_id: str, lane: str, phones: range, prefix: str) -> None:
    """Store messages that wait to be dialled, without a ring."""
    rows: list[Any] = list(new_messages(stage, provider_id, lane, phones, prefix))
    for start in range(0, len(rows), _BATCH):
        with stage.database.transaction() as connection:
            accept.store(connection, rows[start : start + _BATCH])


#: Phones that no load of the generator comes to: +65 88….
BULK_PHONES: Final = FIRST_PHONE + 7_000_000
