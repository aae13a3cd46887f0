"""The speech profiles that 8x8 offers this subaccount, as last fetched."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import to_json
from sqlalchemy import Connection, text


def offered(connection: Connection) -> dict[str, str]:
    """Code -> locale; empty until they were fetched."""
    return {row.code: row.locale for row in connection.execute(text("SELECT code, locale FROM voices"))}


def replace(connection: Connection, voices: Mapping[str, str]) -> None:
    """Store what 8x8 offers now."""
    connection.execute(text("DELETE FROM voices WHERE code <> ALL (CAST(:codes AS text[]))"), {"codes": list(voices)})
    connection.execute(
        text("""
        INSERT INTO voices (code, locale)
        SELECT key, value FROM json_each_text(CAST(:voices AS json))
        ON CONFLICT (code) DO UPDATE SET locale = excluded.locale, fetched_at = now()
        """),
        {"voices": to_json(voices).decode()},
    )
