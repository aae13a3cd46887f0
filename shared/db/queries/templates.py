"""Texts that a provider keeps by name: every change is a version of its own, so that nothing said is ever another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

#: Names that a provider may use at once, versions of one name, and versions that it ever made, deleted ones included:
#: nobody fills a disk with them.
MOST_NAMES: Final = 200
MOST_VERSIONS: Final = 1000
MOST_EVER: Final = 10_000

_COLUMNS: Final = "t.name, t.version, t.text, t.language, t.created_at"
_LATEST: Final = text(f"""
SELECT DISTINCT ON (t.name) {_COLUMNS} FROM templates t
WHERE t.provider_id = :provider_id AND t.deleted_at IS NULL ORDER BY t.name, t.version DESC
""")
_ONE: Final = text(f"""
SELECT {_COLUMNS} FROM templates t
WHERE t.provider_id = :provider_id AND t.name = :name AND t.deleted_at IS NULL
  AND (CAST(:version AS int) IS NULL OR t.version = :version)
ORDER BY t.version DESC LIMIT 1
""")
_VERSIONS: Final = text(f"""
SELECT {_COLUMNS} FROM templates t
WHERE t.provider_id = :provider_id AND t.name = :name AND t.deleted_at IS NULL ORDER BY t.version DESC
""")
_LOCK: Final = text("SELECT FROM providers WHERE provider_id = :provider_id FOR NO KEY UPDATE")
_COUNTS: Final = text("""
SELECT count(*) AS ever, count(DISTINCT name) FILTER (WHERE name <> :name AND deleted_at IS NULL) AS names,
  count(*) FILTER (WHERE name = :name AND deleted_at IS NULL) AS versions,
  COALESCE(max(version) FILTER (WHERE name = :name), 0) AS version
FROM templates WHERE provider_id = :provider_id
""")
_ADD: Final = text(f"""
INSERT INTO templates AS t (provider_id, name, version, text, language)
VALUES (:provider_id, :name, :version, :text, :language) RETURNING {_COLUMNS}
""")
_DELETE: Final = text("""
UPDATE templates SET deleted_at = now() WHERE provider_id = :provider_id AND name = :name AND deleted_at IS NULL
RETURNING version
""")


def latest(connection: Connection, provider_id: str) -> Sequence[Any]:
    """Of each name the newest version, by name."""
    return connection.execute(_LATEST, {"provider_id": provider_id}).all()


def one(connection: Connection, provider_id: str, name: str, version: int | None = None) -> Any | None:
    """A version, the newest unless one is named; None where there is none."""
    return connection.execute(_ONE, {"provider_id": provider_id, "name": name, "version": version}).first()


def versions(connection: Connection, provider_id: str, name: str) -> Sequence[Any]:
    """Every version of a name, the newest first."""
    return connection.execute(_VERSIONS, {"provider_id": provider_id, "name": name}).all()


def put(
    connection: Connection, provider_id: str, name: str, said: str, language: str | None
) -> tuple[Any, bool] | None:
    """
    Keep a text under a name.

    Returns:
        The newest version, and whether it is a new one: a text that is the newest already is none. None where there
        are as many as there may be.
    """
    asked = {"provider_id": provider_id, "name": name}
    connection.execute(_LOCK, asked)  # of two at once the other one sees this one's version
    newest = one(connection, provider_id, name)
    if newest is not None and (newest.text, newest.language) == (said, language):
        return newest, False
    counts = connection.execute(_COUNTS, asked).one()
    if counts.names >= MOST_NAMES or counts.versions >= MOST_VERSIONS or counts.ever >= MOST_EVER:
        return None
    added = {**asked, "version": counts.version + 1, "text": said, "language": language}
    return connection.execute(_ADD, added).one(), True


def delete(connection: Connection, provider_id: str, name: str) -> int:
    """Give every version of a name up; how many there were. Numbers go on where they ended, should it come again."""
    return len(connection.execute(_DELETE, {"provider_id": provider_id, "name": name}).all())
