"""Every column that holds sealed bytes, so that they can be sealed anew with another data key while all runs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json
from sqlalchemy import Connection, RowMapping, text


@dataclass(frozen=True, slots=True)
class Place:
    """A column of sealed bytes; *key* is the unique column whose value they are bound to."""

    table: str
    key: str
    column: str


PLACES: Final = (
    Place("endpoints", "endpoint_id", "secret"),
    Place("endpoints", "endpoint_id", "old_secret"),
    Place("messages", "id", "content"),
    Place("webhook_inbox", "dedupe_key", "body"),
)

_STALE: Final = "{column} <> '' AND substr({column}, 1, length(:header)) <> :header"
_COUNT: Final = "SELECT count(*) FROM {table} WHERE " + _STALE
# What somebody else is at is passed over, so that nobody waits for us, nor we for them: another pass finds it.
_PAGE: Final = (
    "SELECT {key} AS row, {column} AS sealed FROM {table} WHERE "
    + _STALE
    + " AND {key} > :after ORDER BY {key} LIMIT :page FOR NO KEY UPDATE SKIP LOCKED"
)
_WRITE: Final = """
UPDATE {table} t SET {column} = decode(x.sealed, 'base64')
FROM json_to_recordset(:rows) AS x(row text, sealed text) WHERE t.{key} = x.row
"""


def _statement(pattern: str, place: Place) -> str:
    return pattern.format(table=place.table, key=place.key, column=place.column)


def count_stale(connection: Connection, place: Place, header: bytes) -> int:
    """How many rows of *place* are sealed with another key than the one whose bytes begin with *header*."""
    return int(connection.execute(text(_statement(_COUNT, place)), {"header": header}).scalar_one())


_NEWEST: Final = (
    "SELECT {key} AS row, {column} AS sealed FROM {table} WHERE {column} <> '' ORDER BY {key} DESC LIMIT :limit"
)


def newest(connection: Connection, place: Place, limit: int) -> Sequence[RowMapping]:
    """The last rows of *place* by their key: ``row``, ``sealed``."""
    return connection.execute(text(_statement(_NEWEST, place)), {"limit": limit}).mappings().all()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one page came to."""

    rows: int  # looked at
    last: str  # where the next page begins
    resealed: int
    unopened: tuple[str, ...]  # rows that no key of ours opens; they are left as they are


def reseal(
    connection: Connection,
    place: Place,
    *,
    header: bytes,
    after: str,
    page: int,
    anew: Callable[[bytes, str], bytes | None],
) -> Turn:
    """
    Seal a page of rows with the newest key; the locks are held for as long as that takes.

    Args:
        connection: In a transaction.
        place: Which column.
        header: What the newest key's bytes begin with.
        after: The key of the row after which the page begins.
        page: So many rows at most.
        anew: Seals bytes of a row anew; None where no key opens them.
    """
    asked = {"header": header, "after": after, "page": page}
    rows = connection.execute(text(_statement(_PAGE, place)), asked).all()
    sealed = {row.row: anew(bytes(row.sealed), row.row) for row in rows}
    unopened = tuple(name for name, value in sealed.items() if value is None)
    if fresh := _as_rows(list(sealed.items())):
        connection.execute(text(_statement(_WRITE, place)), {"rows": to_json(fresh).decode()})
    return Turn(len(rows), rows[-1].row if rows else after, len(fresh), unopened)


def _as_rows(sealed: Sequence[tuple[str, bytes | None]]) -> list[dict[str, str]]:
    return [{"row": row, "sealed": base64.b64encode(value).decode()} for row, value in sealed if value is not None]
