"""
Every table: columns, constraints, indexes. The migrations build the same; a test compares the two.

The schema defends itself: a CHECK ties final statuses to ``finished_at``, ``due_at`` and the erased text, so that
one query can prove that each message is final, or open with a due time.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.lifecycle import FINALS, CallbackState, Lane, Status

METADATA: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def _listed(values: Any) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _moment(name: str, *, required: bool = False, stamped: bool = False) -> Column[Any]:
    """An aware moment; *stamped* ones are written by the database's clock."""
    default = func.now() if stamped else None
    return Column(name, DateTime(timezone=True), nullable=not (required or stamped), server_default=default)


def _text(name: str, *, required: bool = True, default: str | None = None) -> Column[Any]:
    return Column(name, Text, nullable=not required, server_default=default)


PROVIDERS: Final = Table(
    "providers",
    METADATA,
    Column("provider_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("countries", ARRAY(Text)),  # null: the setting ALLOWED_COUNTRIES
    Column("last_sequence", BigInteger, nullable=False, server_default="0"),
    _moment("disabled_at"),
    _moment("created_at", stamped=True),
)

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("provider_id", ForeignKey("providers.provider_id"), nullable=False, index=True),
    Column("secret_hash", LargeBinary, nullable=False),
    _moment("expires_at"),
    _moment("revoked_at"),
    _moment("created_at", stamped=True),
)

ENDPOINTS: Final = Table(
    "endpoints",
    METADATA,
    Column("endpoint_id", Text, primary_key=True),
    Column("provider_id", ForeignKey("providers.provider_id"), nullable=False),
    _text("url"),
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("event_types", ARRAY(Text), nullable=False),
    _moment("disabled_at"),
    _text("disabled_reason", required=False),
    _moment("failing_since"),
    _moment("created_at", stamped=True),
    UniqueConstraint("provider_id", "url"),
)

_FINAL = f"status IN ({_listed(FINALS)})"
MESSAGES: Final = Table(
    "messages",
    METADATA,
    Column("id", Text, primary_key=True),
    _text("provider_id"),  # no foreign key: its lock on the one provider row would queue every burst behind it
    _text("message_id"),  # the provider's own id
    Column("fingerprint", LargeBinary, nullable=False),  # keyed hash of the request, for idempotency
    _text("lane"),
    _text("status"),
    _text("reason", required=False),
    Column("content", LargeBinary),  # sealed: the full number and the spoken text; null once final
    Column("destination_key", LargeBinary, nullable=False),  # keyed hash of the full number
    _text("destination_masked"),
    _text("country"),
    _text("source"),
    _text("voice"),
    Column("speed", Double, nullable=False),
    Column("plays", SmallInteger, nullable=False),
    Column("seconds_per_play", Double, nullable=False),
    Column("interruptible", Boolean, nullable=False),
    Column("max_attempts", SmallInteger, nullable=False),  # callflows that 8x8 may have accepted
    Column("spare_attempts", SmallInteger, nullable=False),  # repeats after 8x8's own faults, beyond those
    Column("redial_unknown", Boolean, nullable=False),
    Column("endpoint_id", ForeignKey("endpoints.endpoint_id")),  # null: every endpoint of the provider
    Column("metadata", JSONB, nullable=False),
    Column("warnings", JSONB, nullable=False),
    _moment("scheduled_at"),
    _moment("deadline", required=True),  # speech must have begun by then
    _moment("due_at"),  # queued: dial; dialing: the lease ends; in flight: the verdict is overdue
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    _text("attempt_id", required=False),  # the claim's fence: a worker that lost its lease changes nothing
    _text("session_id", required=False),
    Column("busy_destination", LargeBinary),  # set while a call may ring or speak
    _moment("busy_until"),
    _moment("created_at", stamped=True),
    _moment("updated_at", stamped=True),
    _moment("finished_at"),
    UniqueConstraint("provider_id", "message_id"),
    CheckConstraint(f"status IN ({_listed(Status)})", name="status"),
    CheckConstraint(f"lane IN ({_listed(Lane)})", name="lane"),
    CheckConstraint(f"(finished_at IS NOT NULL) = ({_FINAL})", name="finished"),
    CheckConstraint(f"(due_at IS NULL) = ({_FINAL})", name="due"),
    CheckConstraint(f"(content IS NULL) = ({_FINAL})", name="erased"),
    Index("messages_queue_idx", "lane", "deadline", postgresql_where=text("status = 'queued'")),
    Index("messages_open_idx", "status", "due_at", postgresql_where=text("finished_at IS NULL")),
    Index(
        "messages_busy_destination_key",
        "busy_destination",
        unique=True,
        postgresql_where=text("busy_destination IS NOT NULL"),
    ),
    Index("messages_in_flight_idx", "busy_until", postgresql_where=text("busy_until IS NOT NULL")),
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
    Column("message_id", ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("number", SmallInteger, nullable=False),
    _text("claim_id"),  # of one worker's batch: finds what a lost answer claimed
    _text("subaccount_id"),
    _text("source"),
    Column("destination_key", LargeBinary, nullable=False),
    _moment("valid_until", required=True),
    _moment("started_at", stamped=True),
    _moment("replied_at"),
    _text("disposition", required=False),  # what the POST came to; null while it is under way
    _text("reason", required=False),
    Column("status_code", BigInteger),
    _text("status_message", required=False),
    _text("session_id", required=False),
    _moment("answered_at"),
    _text("key_pressed", required=False),
    _text("session_status", required=False),  # 8x8's word, normalised
    _text("session_status_raw", required=False),
    Column("error_code", BigInteger),
    _text("error_message", required=False),
    _text("last_action", required=False),
    _moment("session_started_at"),
    _moment("session_ended_at"),
    Column("duration_seconds", Integer),
    _text("heard", required=False),
    _moment("settled_at"),
    Index(
        "dial_attempts_session_id_key",
        "session_id",
        unique=True,
        postgresql_where=text("session_id IS NOT NULL"),
    ),
    Index(
        "dial_attempts_unsettled_idx",
        "destination_key",
        postgresql_where=text("settled_at IS NULL AND session_id IS NULL"),
    ),
)

CALL_LEGS: Final = Table(
    "call_legs",
    METADATA,
    Column("session_id", Text, primary_key=True),
    Column("leg", Text, primary_key=True),
    Column("attempt_id", ForeignKey("dial_attempts.attempt_id", ondelete="CASCADE"), nullable=False, index=True),
    _text("call_id", required=False),
    _text("direction", required=False),
    _text("call_status", required=False),
    _text("call_status_raw", required=False),
    _moment("initiated_at"),
    _moment("connected_at"),
    _moment("disconnected_at"),
    Column("duration_seconds", Integer),
    _text("source_country", required=False),
    _text("destination_country", required=False),
    Column("mos", Double),
    Column("packet_loss_rate", Double),
    Column("jitter_ms", Double),
)

WEBHOOK_INBOX: Final = Table(
    "webhook_inbox",
    METADATA,
    Column("inbox_id", BigInteger, Identity(), primary_key=True),
    Column("dedupe_key", Text, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),  # sealed: it names full numbers and pressed keys
    _moment("received_at", stamped=True),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    _moment("due_at", stamped=True),
    _text("session_id", required=False),  # of an event that found no attempt yet
    _moment("processed_at"),
    _text("result", required=False),
    Index("webhook_inbox_due_idx", "due_at", postgresql_where=text("processed_at IS NULL")),
    Index("webhook_inbox_processed_idx", "processed_at", postgresql_where=text("processed_at IS NOT NULL")),
    Index(
        "webhook_inbox_unmatched_idx",
        "session_id",
        postgresql_where=text("processed_at IS NULL AND session_id IS NOT NULL"),
    ),
)

FEED_EVENTS: Final = Table(
    "feed_events",
    METADATA,
    Column("event_id", Text, primary_key=True),
    _text("provider_id"),
    Column("sequence", BigInteger, nullable=False),
    Column("message_id", ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("type"),
    _text("status"),
    _text("reason", required=False),
    Column("facts", JSONB, nullable=False),
    _moment("occurred_at", stamped=True),
    UniqueConstraint("provider_id", "sequence"),
)

_OPEN_CALLBACK = f"state IN ({_listed((CallbackState.DUE, CallbackState.SENDING))})"
CALLBACKS: Final = Table(
    "callbacks",
    METADATA,
    Column("callback_id", Text, primary_key=True),
    Column("event_id", ForeignKey("feed_events.event_id", ondelete="CASCADE"), nullable=False),
    Column("endpoint_id", ForeignKey("endpoints.endpoint_id"), nullable=False),
    Column("message_id", ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    _text("state"),
    _moment("due_at"),  # due: send; sending: the lease ends
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("failures_forgiven", SmallInteger, nullable=False, server_default="0"),  # a resend starts the schedule anew
    _moment("created_at", stamped=True),
    _moment("finished_at"),
    UniqueConstraint("event_id", "endpoint_id"),
    CheckConstraint(f"state IN ({_listed(CallbackState)})", name="state"),
    CheckConstraint(f"(due_at IS NOT NULL) = ({_OPEN_CALLBACK})", name="due"),
    Index("callbacks_due_idx", "endpoint_id", "due_at", postgresql_where=text(_OPEN_CALLBACK)),
)

DELIVERY_ATTEMPTS: Final = Table(
    "delivery_attempts",
    METADATA,
    Column("callback_id", ForeignKey("callbacks.callback_id", ondelete="CASCADE"), primary_key=True),
    Column("number", SmallInteger, primary_key=True),
    _moment("started_at", stamped=True),
    Column("elapsed_ms", Integer),
    Column("http_status", Integer),
    _text("error", required=False),
    _text("reply", required=False),  # the first KiB, for the provider's eyes only
)

SUPPRESSIONS: Final = Table(
    "suppressions",
    METADATA,
    Column("provider_id", ForeignKey("providers.provider_id"), primary_key=True),
    Column("destination_key", LargeBinary, primary_key=True),
    _text("destination_masked"),
    _text("reason"),
    _moment("created_at", stamped=True),
)

LANES: Final = Table(
    "lanes",
    METADATA,
    Column("lane", Text, primary_key=True),
    _moment("paused_at"),
    CheckConstraint(f"lane IN ({_listed(Lane)})", name="lane"),
)

SUBACCOUNTS: Final = Table(
    "subaccounts",
    METADATA,
    Column("subaccount_id", Text, primary_key=True),
    Column("tokens", Double, nullable=False),
    _moment("refilled_at", stamped=True),
)

BREAKERS: Final = Table(
    "breakers",
    METADATA,
    Column("scope", Text, primary_key=True),  # subaccount or source
    Column("name", Text, primary_key=True),
    _text("reason"),
    Column("failures", Integer, nullable=False),
    Column("probing", Boolean, nullable=False, server_default="false"),  # one message is trying again
    _moment("opened_at", stamped=True),
    _moment("probe_at", required=True),
)

VOICES: Final = Table(
    "voices",
    METADATA,
    Column("code", Text, primary_key=True),
    _text("locale"),
    _moment("fetched_at", stamped=True),
)

HEARTBEATS: Final = Table(
    "heartbeats",
    METADATA,
    Column("process", Text, primary_key=True),
    _moment("beat_at", stamped=True),
)

AUDIT_LOG: Final = Table(
    "audit_log",
    METADATA,
    Column("audit_id", BigInteger, Identity(), primary_key=True),
    _moment("at", stamped=True),
    _text("actor"),
    _text("action"),
    _text("target"),
    Column("before", JSONB),
    Column("after", JSONB),
)
