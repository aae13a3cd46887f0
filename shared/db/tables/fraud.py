"""What keeps numbers from being called, and how calls end where: what toll fraud is told by."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, LargeBinary, Table, Text, text

from shared.db.tables.base import METADATA, moment, words

SUPPRESSIONS: Final = Table(
    "suppressions",
    METADATA,
    Column("provider_id", Text, primary_key=True),  # "*": of every provider
    Column("destination_key", LargeBinary, primary_key=True),
    words("destination_masked"),
    words("reason"),
    moment("created_at", stamped=True),
)

QUARANTINES: Final = Table(
    "quarantines",
    METADATA,
    Column("quarantine_id", Text, primary_key=True),
    words("provider_id"),
    Column("prefix_key", LargeBinary, nullable=False),  # keyed hash of the numbers without their last four digits
    words("prefix_masked"),
    words("country"),
    words("why"),
    moment("since", stamped=True),
    moment("until", required=True),
    moment("released_at"),
    Index(
        "quarantines_open_key",
        "provider_id",
        "prefix_key",
        unique=True,
        postgresql_where=text("released_at IS NULL"),
    ),
)

OUTCOMES: Final = Table(
    "outcomes",
    METADATA,
    Column("message_id", Text, primary_key=True),  # our id
    words("provider_id"),
    words("country"),
    Column("verified", Boolean, nullable=False),  # whether the code was used
    moment("reported_at", stamped=True),
    Index("outcomes_reported_idx", "reported_at"),
)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


HOURLY_ENDS: Final = Table(
    "hourly_ends",
    METADATA,
    Column("provider_id", Text, primary_key=True),
    Column("country", Text, primary_key=True),
    Column("hour", DateTime(timezone=True), primary_key=True),
    _count("rang"),  # calls that rang and ended
    _count("heard"),  # of them, those that were heard
    _count("reported"),  # outcomes that the provider told
    _count("verified"),  # of them, codes that were used
    Index("hourly_ends_hour_idx", "hour"),
)
TALLIES: Final = Table(
    "tallies",
    METADATA,
    Column("name", Text, primary_key=True),
    words("place"),  # up to where it was counted
)
