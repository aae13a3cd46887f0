"""What stays of messages whose time is over: that they were there, and how many."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Date, Index, LargeBinary, Table, Text

from shared.db.tables.base import METADATA, moment, words

#: A messageId is the provider's for ever: this row keeps its repetition from ringing again.
PAST_MESSAGES: Final = Table(
    "past_messages",
    METADATA,
    Column("provider_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),  # the provider's own id
    words("id"),
    Column("fingerprint", LargeBinary, nullable=False),
    words("lane"),
    words("status"),
    words("reason", required=False),
    moment("deadline", required=True),
    moment("buried_at"),  # while the message itself is still there; null once it is gone
    Index("past_messages_buried_idx", "buried_at", postgresql_where="buried_at IS NOT NULL"),
)

DAILY_TOTALS: Final = Table(
    "daily_totals",
    METADATA,
    Column("provider_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),  # UTC, of the final status
    Column("country", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("reason", Text, primary_key=True),  # empty: none
    Column("messages", BigInteger, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("talk_seconds", BigInteger, nullable=False),
)
