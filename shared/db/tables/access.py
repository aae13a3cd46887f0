"""Who may use the dashboard, and who does at present."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, ForeignKey, LargeBinary, Table, Text

from shared.db.tables.base import METADATA, listed, moment, words
from shared.operators import Role

OPERATORS: Final = Table(
    "operators",
    METADATA,
    Column("operator_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    words("role"),
    words("password"),  # a hash, with how it was made
    moment("created_at", stamped=True),
    moment("password_set_at", stamped=True),
    moment("disabled_at"),
    CheckConstraint(f"role IN ({listed(Role)})", name="role"),
)

OPERATOR_SESSIONS: Final = Table(
    "operator_sessions",
    METADATA,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("operator_id", Text, ForeignKey("operators.operator_id"), nullable=False, index=True),
    moment("created_at", stamped=True),
    moment("used_at", stamped=True),
)
