"""What operators switch, and what limits the dialling."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Identity,
    Integer,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.db.tables.base import METADATA, listed, moment, words
from shared.lifecycle import Lane
from shared.stops import Scope

LANES: Final = Table(
    "lanes",
    METADATA,
    Column("lane", Text, primary_key=True),
    moment("paused_at"),
    words("reason", required=False),
    words("paused_by", required=False),
    moment("paused_until"),  # it ends by itself then
    CheckConstraint(f"lane IN ({listed(Lane)})", name="lane"),
)

#: Lanes are stopped by the table above, which the version before reads, too.
STOPS: Final = Table(
    "stops",
    METADATA,
    Column("scope", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    words("reason"),
    words("stopped_by"),
    moment("stopped_at", stamped=True),
    moment("until"),  # it ends by itself then
    moment("ended_at"),  # what it held is being let go
    CheckConstraint(f"scope IN ({listed(set(Scope) - {Scope.LANE})})", name="scope"),
)

DAILY_CALLS: Final = Table(
    "daily_calls",
    METADATA,
    Column("name", Text, primary_key=True),  # a provider's id; * for all of them
    Column("day", Date, nullable=False),  # UTC
    Column("calls", BigInteger, nullable=False, server_default="0"),  # claimed on that day, to be POSTed to 8x8
    Column("turns", BigInteger, nullable=False, server_default="0"),  # only ever grows: tells of every change
    Column("cap", BigInteger),  # null: the setting's
    Column("is_uncapped", Boolean, nullable=False, server_default="false"),
    CheckConstraint("cap >= 0", name="cap"),
    postgresql_with={"fillfactor": "20"},  # each claim writes the same few rows
)

SUBACCOUNTS: Final = Table(
    "subaccounts",
    METADATA,
    Column("subaccount_id", Text, primary_key=True),
    Column("tokens", Double, nullable=False),
    moment("refilled_at", stamped=True),
    Column("dialed", BigInteger, nullable=False, server_default="0"),  # all dials so far; its growth is the true rate
    Column("pace_refused", Double),  # dials a second at the last 429; what is dialled now follows from its age
    moment("pace_cut_at"),
    Column("lines", Double),  # calls in flight that the trunk bears, as far as is known; null: the setting
    Column("lines_refused", Double),  # calls in flight at the last -2010
    moment("lines_cut_at"),
    moment("held_until"),  # 8x8's Retry-After
    Column("pace_set", Double),  # dials a second that an operator allows; null: the setting
    Column("lines_set", Integer),  # calls in flight that an operator allows; null: the setting
    words("limits_set_by", required=False),
    moment("limits_set_at"),
    Column("flown", BigInteger),  # calls up, all accounts', when a claim last counted them; since then at most what
    Column("flown_turns", BigInteger),  # daily_calls has counted beyond this; null: never
    moment("otp_claimed_at"),  # other lanes give way to a waiting otp while somebody dials that lane
)

BREAKERS: Final = Table(
    "breakers",
    METADATA,
    Column("scope", Text, primary_key=True),  # subaccount or source
    Column("name", Text, primary_key=True),
    words("reason"),
    Column("failures", Integer, nullable=False),
    Column("probing", Boolean, nullable=False, server_default="false"),  # one message is trying again
    moment("opened_at", stamped=True),
    moment("probe_at", required=True),
)

VOICES: Final = Table(
    "voices",
    METADATA,
    Column("code", Text, primary_key=True),
    words("locale"),
    moment("fetched_at", stamped=True),
)

HEARTBEATS: Final = Table(
    "heartbeats",
    METADATA,
    Column("process", Text, primary_key=True),
    moment("beat_at", stamped=True),
    Column("clock_ahead_s", Double),  # PostgreSQL's clock before the process's, as the beat before found it
)

PROCESSES: Final = Table(
    "processes",
    METADATA,
    Column("process_id", Text, primary_key=True),
    words("work"),
    words("host"),
    Column("pid", Integer, nullable=False),
    words("version"),
    Column("rss_bytes", BigInteger),
    moment("started_at", stamped=True),
    moment("beat_at", stamped=True),
    moment("drain_asked_at"),
    words("drain_asked_by", required=False),
)

#: What charts show of the past: a row every few seconds, by whichever sweeper comes first.
FIGURES: Final = Table(
    "figures",
    METADATA,
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("figures", JSONB, nullable=False),
)

#: What all processes count together, since the database was made.
COUNTERS: Final = Table(
    "counters",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("labels", ARRAY(Text), primary_key=True),  # their values
    Column("amounts", ARRAY(Double), nullable=False),  # one, or a histogram's
    postgresql_with={"fillfactor": "50"},
)

SERVERS: Final = Table(
    "servers",
    METADATA,
    # When the server process started: another one after any restart, and told by every PostgreSQL at no cost.
    Column("started_at", DateTime(timezone=True), primary_key=True),
    Column("system_identifier", BigInteger),
    Column("timeline", BigInteger),  # a promotion begins a new one; null where the server does not tell
    Column("held", Integer, nullable=False, server_default="0"),  # messages held back as it was found
    moment("found_at", stamped=True),
)

AUDIT_LOG: Final = Table(
    "audit_log",
    METADATA,
    Column("audit_id", BigInteger, Identity(), primary_key=True),
    moment("at", stamped=True),
    words("actor"),
    words("action"),
    words("target"),
    Column("before", JSONB),
    Column("after", JSONB),
)
