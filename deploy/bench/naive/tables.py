"""The naive design's only table."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from sqlalchemy import DateTime, String, Text, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

_CONNECTIONS = 16


class Base(DeclarativeBase):
    """What its tables are declared on."""


class Call(Base):
    """One message and what became of it."""

    __tablename__ = "calls"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(String(128), unique=True)
    phone: Mapped[str] = mapped_column(String(20))
    message: Mapped[str] = mapped_column(Text)
    repetition: Mapped[int]
    status: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    session_id: Mapped[str | None] = mapped_column(String(64), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=lambda: datetime.now(UTC), onupdate=lambda: datetime.now(UTC)
    )


def make_sessions(*, create: bool = False) -> sessionmaker[Session]:
    """Sessions on the database that the environment names; with *create* the table is made if it is missing."""
    url = make_url(os.environ["NAIVE_DATABASE_URL"]).set(drivername="postgresql+psycopg2")
    engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
    if create:
        Base.metadata.create_all(engine)
    return sessionmaker(engine)
