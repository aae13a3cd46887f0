"""
Messages, the calls made for them, and what 8x8 reported.

What belongs together is written by one statement, so no foreign keys check it: that took a tenth of PostgreSQL's time.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.db.tables.base import METADATA, listed, moment, words
from shared.lifecycle import FINALS, Lane, Status

_FINAL = f"status IN ({listed(FINALS)})"
MESSAGES: Final = Table(
    "messages",
    METADATA,
    Column("id", Text, primary_key=True),
    words("provider_id"),  # no foreign key: its lock on the one provider row would queue every burst behind it
    words("message_id"),  # the provider's own id
    Column("fingerprint", LargeBinary, nullable=False),  # keyed hash of the request, for idempotency
    words("lane"),
    words("test_type", required=False),  # of a test message, whose lane is not its type
    words("status"),
    words("reason", required=False),
    Column("content", LargeBinary),  # sealed: the full number and the spoken text; null once final
    Column("destination_key", LargeBinary, nullable=False),  # keyed hash of the full number
    words("destination_masked"),
    words("country"),
    words("source"),
    words("voice"),
    Column("speed", Double, nullable=False),
    Column("plays", SmallInteger, nullable=False),
    Column("seconds_per_play", Double, nullable=False),
    Column("interruptible", Boolean, nullable=False),
    Column("max_attempts", SmallInteger, nullable=False),  # callflows that 8x8 may have accepted
    Column("spare_attempts", SmallInteger, nullable=False),  # repeats after 8x8's own faults, beyond those
    Column("redial_unknown", Boolean, nullable=False),
    Column("endpoint_id", Text),  # null: every endpoint of the provider; it may have been forgotten since
    Column("metadata", JSONB, nullable=False),
    Column("warnings", JSONB, nullable=False),
    moment("scheduled_at"),
    moment("deadline", required=True),  # speech must have begun by then
    moment("due_at"),  # queued: dial; dialing: the lease ends; in flight: the verdict is overdue
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    words("attempt_id", required=False),  # the claim's fence: a worker that lost its lease changes nothing
    words("session_id", required=False),
    words("traceparent", required=False),  # W3C's, of the request that it came with; null while nothing is traced
    Column("busy_destination", LargeBinary),  # set while a call may ring or speak
    moment("busy_until"),
    moment("created_at", stamped=True),
    moment("updated_at", stamped=True),
    moment("finished_at"),
    UniqueConstraint("provider_id", "message_id"),
    CheckConstraint(f"status IN ({listed(Status)})", name="status"),
    CheckConstraint(f"lane IN ({listed(Lane)})", name="lane"),
    CheckConstraint(f"(test_type IS NOT NULL) = (lane = '{Lane.TEST}')", name="test_type"),
    CheckConstraint(f"(finished_at IS NOT NULL) = ({_FINAL})", name="finished"),
    CheckConstraint(f"(due_at IS NULL) = ({_FINAL})", name="due"),
    CheckConstraint(f"(content IS NULL) = ({_FINAL})", name="erased"),
    Index(
        "messages_queue_idx",
        *("lane", "provider_id", "deadline", "due_at"),  # due_at last: what waits for later is passed over unread
        postgresql_where=text("status = 'queued'"),
    ),
    Index("messages_open_idx", "status", "due_at", postgresql_where=text("finished_at IS NULL")),
    Index(
        "messages_busy_destination_key",
        "busy_destination",
        unique=True,
        postgresql_where=text("busy_destination IS NOT NULL"),
    ),
    Index("messages_in_flight_idx", "busy_until", postgresql_where=text("busy_until IS NOT NULL")),
    Index("messages_undetermined_idx", "finished_at", postgresql_where=text("status = 'undetermined'")),
    Index("messages_provider_idx", "provider_id", "created_at", "id"),
    postgresql_with={
        "fillfactor": "85",
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_analyze_scale_factor": "0.02",
    },
)

DIAL_ATTEMPTS: Final = Table(
    "dial_attempts",
    METADATA,
    Column("attempt_id", Text, primary_key=True),  # also 8x8's clientRequestId
    Column("message_id", Text, nullable=False, index=True),
    Column("number", SmallInteger, nullable=False),
    words("claim_id"),  # of one worker's batch: finds what a lost answer claimed
    words("subaccount_id"),
    words("source"),
    Column("destination_key", LargeBinary, nullable=False),
    moment("valid_until", required=True),
    moment("started_at", stamped=True),
    moment("replied_at"),
    words("disposition", required=False),  # what the POST came to; null while it is under way
    words("reason", required=False),
    Column("status_code", BigInteger),
    words("status_message", required=False),
    words("session_id", required=False),
    moment("answered_at"),
    words("key_pressed", required=False),
    words("session_status", required=False),  # 8x8's word, normalised
    words("session_status_raw", required=False),
    Column("error_code", BigInteger),
    words("error_message", required=False),
    words("last_action", required=False),
    moment("session_started_at"),
    moment("session_ended_at"),
    Column("duration_seconds", Integer),
    words("heard", required=False),
    moment("settled_at"),
    Index(
        "dial_attempts_session_id_key",
        "session_id",
        unique=True,
        postgresql_where=text("session_id IS NOT NULL"),
    ),
    Index(
        "dial_attempts_unsettled_idx",
        "destination_key",
        # None of what a summary writes, so that it is written in place.
        postgresql_where=text("session_id IS NULL AND (disposition IS NULL OR disposition = 'unknown')"),
    ),
    postgresql_with={"fillfactor": "50"},
)

#: In partitions by time, which attempts' ids begin with: ``shared/db/queries/partitions.py``.
CALL_LEGS: Final = Table(
    "call_legs",
    METADATA,
    Column("attempt_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("leg", Text, primary_key=True),
    words("call_id", required=False),
    words("direction", required=False),
    words("call_status", required=False),
    words("call_status_raw", required=False),
    moment("initiated_at"),
    moment("connected_at"),
    moment("disconnected_at"),
    Column("duration_seconds", Integer),
    words("source_country", required=False),
    words("destination_country", required=False),
    Column("mos", Double),
    Column("packet_loss_rate", Double),
    Column("jitter_ms", Double),
    postgresql_partition_by="RANGE (attempt_id)",
)

WEBHOOK_INBOX: Final = Table(
    "webhook_inbox",
    METADATA,
    Column("inbox_id", BigInteger, Identity(), primary_key=True),
    Column("dedupe_key", Text, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),  # sealed: it names full numbers and pressed keys
    moment("received_at", stamped=True),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    moment("due_at", stamped=True),
    words("session_id", required=False),  # of an event that found no attempt yet
    moment("processed_at"),
    words("result", required=False),
    words("named_session_id", required=False),  # by which the claim finds the attempt; not of what was spooled
    Index("webhook_inbox_due_idx", "due_at", postgresql_where=text("processed_at IS NULL")),
    Index("webhook_inbox_processed_idx", "processed_at", postgresql_where=text("processed_at IS NOT NULL")),
    Index(
        "webhook_inbox_unmatched_idx",
        "session_id",
        postgresql_where=text("processed_at IS NULL AND session_id IS NOT NULL"),
    ),
    # Of no call of ours: counted for alarms, and purged within a day.
    Index(
        "webhook_inbox_stray_idx",
        "result",
        "processed_at",
        postgresql_where=text("processed_at IS NOT NULL AND result IN ('contradicts', 'dropped', 'unmatched')"),
    ),
    Index("webhook_inbox_parked_idx", "inbox_id", postgresql_where=text("result = 'parked'")),
)
