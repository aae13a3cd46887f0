"""Who may send, and where their callbacks go."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from shared.db.tables.base import METADATA, listed, moment, words
from shared.lifecycle import Mode

PROVIDERS: Final = Table(
    "providers",
    METADATA,
    Column("provider_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("countries", ARRAY(Text)),  # null: the setting ALLOWED_COUNTRIES
    words("number_limits", required=False),  # such as "3/600,10/86400"; null: the setting NUMBER_LIMITS
    Column("messages_per_minute", Integer),  # null: the setting; 0: no limit
    Column("prefix_per_hour", Integer),  # null: the setting; 0: no limit
    words("quiet_hours", required=False),  # such as "22:00-08:00", by the clock of who is called
    Column("quiet_alerts", Boolean, nullable=False, server_default="false"),  # alerts keep them, too
    words("detection", required=False),  # null: usual
    Column("last_sequence", BigInteger, nullable=False, server_default="0"),
    Column("purged_sequence", BigInteger, nullable=False, server_default="0"),  # feed events up to this one are gone
    moment("disabled_at"),
    moment("created_at", stamped=True),
)

API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("provider_id", ForeignKey("providers.provider_id"), nullable=False, index=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("mode", Text, nullable=False, server_default=Mode.LIVE),
    words("name", required=False),
    moment("expires_at"),
    moment("revoked_at"),
    moment("last_used_at"),  # to about a minute
    moment("created_at", stamped=True),
    CheckConstraint(f"mode IN ({listed(Mode)})", name="mode"),
)

ENDPOINTS: Final = Table(
    "endpoints",
    METADATA,
    Column("endpoint_id", Text, primary_key=True),
    Column("provider_id", ForeignKey("providers.provider_id"), nullable=False),
    words("url"),
    Column("secret", LargeBinary, nullable=False),  # sealed
    Column("old_secret", LargeBinary),  # sealed; signs, too, while a rotation lasts, and is erased then
    moment("old_secret_until"),
    Column("event_types", ARRAY(Text), nullable=False),
    moment("disabled_at"),
    words("disabled_reason", required=False),
    moment("failing_since"),  # nothing was delivered since then
    moment("last_success_at"),  # to about a minute; exact after a failure
    moment("last_failure_at"),
    words("last_failure", required=False),
    moment("warned_at"),  # of being disabled; counts while it is later than failing_since
    moment("deleted_at"),  # what was sent there stays to be read
    moment("created_at", stamped=True),
    CheckConstraint("(old_secret IS NULL) = (old_secret_until IS NULL)", name="rotation"),
    Index("endpoints_live_idx", "provider_id", "url", unique=True, postgresql_where=text("deleted_at IS NULL")),
    Index(
        "endpoints_failing_idx",
        "failing_since",
        postgresql_where=text("failing_since IS NOT NULL AND disabled_at IS NULL"),
    ),
    Index("endpoints_deleted_idx", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    Index("endpoints_rotation_idx", "old_secret_until", postgresql_where=text("old_secret_until IS NOT NULL")),
)

TEMPLATES: Final = Table(
    "templates",
    METADATA,
    Column("provider_id", ForeignKey("providers.provider_id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),  # 1, 2, 3, ...; none is ever another text
    words("text"),  # a passcode comes with the message that is made of it, never here
    words("language", required=False),
    moment("deleted_at"),
    moment("created_at", stamped=True),
)
