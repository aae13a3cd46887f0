"""What all processes counted, since the database was made: read by whoever answers ``GET /metrics``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

#: A name, and the values of its labels.
Key = tuple[str, tuple[str, ...]]

# In one order, so that no two processes wait for each other.
_ADD: Final = text("""
INSERT INTO counters AS c (name, labels, amounts)
SELECT name, labels, amounts FROM json_to_recordset(:added) AS x(name text, labels text[], amounts float8[])
ORDER BY name, labels
ON CONFLICT (name, labels) DO UPDATE SET amounts = ARRAY(
  SELECT COALESCE(u.had, 0) + COALESCE(u.added, 0)
  FROM unnest(c.amounts, excluded.amounts) WITH ORDINALITY AS u(had, added, place) ORDER BY u.place)
""")


def add(connection: Connection, added: Mapping[Key, Sequence[float]]) -> None:
    """Add to what is there, in one statement: of each key one amount, or those of a histogram."""
    rows = [{"name": name, "labels": labels, "amounts": amounts} for (name, labels), amounts in added.items()]
    connection.execute(_ADD, {"added": to_json(rows).decode()})


_READ: Final = text("SELECT name, labels, amounts FROM counters ORDER BY name, labels")


def read(connection: Connection) -> Mapping[str, Sequence[Any]]:
    """By name, its series: each with ``labels`` and ``amounts``."""
    found: dict[str, list[Any]] = {}
    for row in connection.execute(_READ):
        found.setdefault(row.name, []).append({"labels": row.labels, "amounts": row.amounts})
    return found
