"""What providers are told, and how often it was tried."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.db.tables.base import METADATA, listed, moment, words
from shared.lifecycle import CallbackState

FEED_EVENTS: Final = Table(
    "feed_events",
    METADATA,
    Column("event_id", Text, primary_key=True),
    words("provider_id"),
    Column("sequence", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False, index=True),
    words("type"),
    words("status"),
    words("reason", required=False),
    Column("facts", JSONB, nullable=False),
    moment("occurred_at", stamped=True),
    UniqueConstraint("provider_id", "sequence"),
)

FEED_LEAPS: Final = Table(
    "feed_leaps",
    METADATA,
    Column("provider_id", Text, primary_key=True),
    Column("after", BigInteger, primary_key=True),  # events go on behind up_to, and none is between
    Column("up_to", BigInteger, nullable=False),
    moment("at", stamped=True),
)

_OPEN_CALLBACK = f"state IN ({listed((CallbackState.DUE, CallbackState.SENDING))})"
CALLBACKS: Final = Table(
    "callbacks",
    METADATA,
    Column("callback_id", Text, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("endpoint_id", Text, nullable=False),
    Column("message_id", Text, nullable=False, index=True),
    words("state"),
    moment("due_at"),  # due: send; sending: the lease ends
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("failures_forgiven", SmallInteger, nullable=False, server_default="0"),  # a resend starts the schedule anew
    moment("created_at", stamped=True),
    moment("finished_at"),
    UniqueConstraint("event_id", "endpoint_id"),
    CheckConstraint(f"state IN ({listed(CallbackState)})", name="state"),
    CheckConstraint(f"(due_at IS NOT NULL) = ({_OPEN_CALLBACK})", name="due"),
    Index("callbacks_due_idx", "endpoint_id", "due_at", postgresql_where=text(_OPEN_CALLBACK)),
    Index("callbacks_given_up_idx", "endpoint_id", "event_id", postgresql_where=text("state = 'parked'")),
    Index("callbacks_parked_idx", "finished_at", postgresql_where=text("state = 'parked'")),
)

#: In partitions by time, which callbacks' ids begin with: ``shared/db/queries/partitions.py``.
DELIVERY_ATTEMPTS: Final = Table(
    "delivery_attempts",
    METADATA,
    Column("callback_id", Text, primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    moment("started_at", stamped=True),
    Column("elapsed_ms", Integer),
    Column("http_status", Integer),
    words("error", required=False),
    words("reply", required=False),  # the first KiB, for the provider's eyes only
    postgresql_partition_by="RANGE (callback_id)",
)
