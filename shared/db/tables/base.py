"""How every table names its constraints, and the columns that most of them have."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    Text,
    func,
)

METADATA: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


def listed(values: Any) -> str:
    """The values of an enumeration as SQL's IN takes them."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def moment(name: str, *, required: bool = False, stamped: bool = False) -> Column[Any]:
    """An aware moment; *stamped* ones are written by the database's clock."""
    default = func.now() if stamped else None
    return Column(name, DateTime(timezone=True), nullable=not (required or stamped), server_default=default)


def words(name: str, *, required: bool = True) -> Column[Any]:
    """A text."""
    return Column(name, Text, nullable=not required)
