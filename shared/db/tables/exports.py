"""What 8x8's call log is asked for, and when it is asked again."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, Integer, SmallInteger, Table, Text, text

from shared.db.tables.base import METADATA, moment, words

_OPEN = "state = 'open'"
LOG_EXPORTS: Final = Table(
    "log_exports",
    METADATA,
    Column("export_id", Text, primary_key=True),
    words("subaccount_id"),
    moment("since", required=True),
    moment("until", required=True),
    words("state"),
    words("job_id", required=False),  # 8x8's; null while none is known
    moment("requested_at"),  # before the POST of that job
    Column("jobs", SmallInteger, nullable=False, server_default="0"),  # POSTs begun, so that a kill repeats few
    Column("tries", Integer, nullable=False, server_default="0"),  # claims; the newest alone may write
    Column("failures", SmallInteger, nullable=False),  # exports in a row that came to nothing
    words("reason", required=False),
    moment("due_at"),
    moment("created_at", stamped=True),
    moment("finished_at"),
    CheckConstraint("state IN ('done', 'failed', 'open')", name="state"),
    CheckConstraint(f"(due_at IS NOT NULL) = ({_OPEN})", name="due"),
    CheckConstraint(f"(finished_at IS NULL) = ({_OPEN})", name="finished"),
    Index("log_exports_newest_idx", "subaccount_id", "created_at"),
    # One at a time: however many sweepers there are, 8x8 gathers one log for us.
    Index("log_exports_open_key", "subaccount_id", unique=True, postgresql_where=text(_OPEN)),
)

LOG_LOOKUPS: Final = Table(
    "log_lookups",
    METADATA,
    Column("attempt_id", Text, primary_key=True),
    Column("lookups", SmallInteger, nullable=False),
    words("shown"),  # by the newest
    moment("due_at", required=True),
    Index("log_lookups_due_idx", "due_at"),
)
