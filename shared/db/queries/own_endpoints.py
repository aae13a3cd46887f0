"""A provider's endpoints as it rules them by itself: made, changed, deleted, and how each of them fares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from shared.db.queries import endpoint_health, endpoints, providers
from shared.db.queries.callbacks import OLD_SECRET
from shared.lifecycle import FINAL_EVENT_TYPES

#: Endpoints that a provider may have at once: each of its events may be a callback to every one.
MOST_ENDPOINTS: Final = 10
#: Open and parked callbacks of an endpoint are counted so far; beyond it the number says no more.
MOST_COUNTED: Final = 5000


class TooManyEndpoints(Exception):
    """The provider has as many as it may have."""


class EndpointExists(Exception):
    """The provider has one with this URL."""


# Callbacks of one endpoint lie together in the two small indexes of those that are open and of those given up.
_SELECT: Final = f"""
SELECT e.endpoint_id, e.provider_id, e.url, e.event_types, e.created_at, e.disabled_at, e.disabled_reason, e.deleted_at,
  e.failing_since, CASE WHEN e.warned_at >= e.failing_since THEN e.warned_at END AS warned_at,
  CASE WHEN e.old_secret_until > now() THEN e.old_secret_until END AS old_secret_until,
  e.last_success_at, e.last_failure_at, e.last_failure, o.open, o.oldest_at, n.next_at, g.parked
FROM endpoints e CROSS JOIN LATERAL (
  SELECT count(*) AS open, min(created_at) AS oldest_at FROM (
    SELECT created_at FROM callbacks c WHERE c.endpoint_id = e.endpoint_id AND c.state IN ('due', 'sending')
    ORDER BY c.due_at LIMIT {MOST_COUNTED}) x
) o CROSS JOIN LATERAL (
  SELECT min(due_at) AS next_at FROM (
    SELECT due_at FROM callbacks c
    WHERE c.endpoint_id = e.endpoint_id AND c.state IN ('due', 'sending') AND c.state = 'due'
    ORDER BY c.due_at LIMIT 1) x
) n CROSS JOIN LATERAL (
  SELECT count(*) AS parked FROM (
    SELECT FROM callbacks c WHERE c.endpoint_id = e.endpoint_id AND c.state = 'parked' LIMIT {MOST_COUNTED}) x
) g
"""
_MINE: Final = text(_SELECT + " WHERE e.provider_id = :provider_id AND e.deleted_at IS NULL ORDER BY e.endpoint_id")
_ONE: Final = text(_SELECT + " WHERE e.endpoint_id = :id AND e.provider_id = :provider_id")


def listed(connection: Connection, provider_id: str) -> Sequence[Any]:
    """A provider's endpoints, oldest first, without those that were deleted."""
    return connection.execute(_MINE, {"provider_id": provider_id}).all()


_EVERY: Final = text(f"""{_SELECT}
WHERE e.deleted_at IS NULL AND (CAST(:id AS text) IS NULL OR e.endpoint_id = :id)
ORDER BY e.failing_since NULLS LAST, o.oldest_at NULLS LAST, g.parked DESC, e.endpoint_id LIMIT :most
""")


def every(connection: Connection, *, endpoint_id: str | None = None, most: int) -> Sequence[Any]:
    """For operators: the endpoints of all providers, those that fail first; or one of them."""
    return connection.execute(_EVERY, {"id": endpoint_id, "most": most}).mappings().all()


def find(connection: Connection, provider_id: str, endpoint_id: str) -> Any | None:
    """One of a provider's endpoints, deleted or not."""
    return connection.execute(_ONE, {"provider_id": provider_id, "id": endpoint_id}).first()


_SIGNS: Final = text(f"""
SELECT e.url, e.secret, {OLD_SECRET} FROM endpoints e
WHERE e.endpoint_id = :id AND e.provider_id = :provider_id AND e.deleted_at IS NULL
""")


def target(connection: Connection, provider_id: str, endpoint_id: str) -> tuple[str, list[bytes]] | None:
    """An endpoint's URL and the sealed secrets that sign what goes there, the newest first."""
    row = connection.execute(_SIGNS, {"provider_id": provider_id, "id": endpoint_id}).first()
    return row and (row.url, [bytes(one) for one in (row.secret, row.old_secret) if one is not None])


@dataclass(frozen=True, slots=True)
class Terms:
    """What an endpoint is to be; None leaves it as it is."""

    url: str | None
    event_types: Sequence[str] | None


# Two who ask at once do not make one too many: who comes second waits for the provider's row.
_LOCK: Final = text("SELECT FROM providers WHERE provider_id = :provider_id FOR NO KEY UPDATE")
_COUNT: Final = text(
    "SELECT count(*) FROM endpoints WHERE provider_id = :provider_id AND deleted_at IS NULL AND endpoint_id <> :id"
)


def create(connection: Connection, provider_id: str, endpoint_id: str, terms: Terms, sealed_secret: bytes) -> bool:
    """
    Store a new endpoint; False for a repetition, as when the answer to the commit was lost.

    Raises:
        TooManyEndpoints: There are :data:`MOST_ENDPOINTS`.
        EndpointExists: One of them has this URL.
    """
    connection.execute(_LOCK, {"provider_id": provider_id})
    if endpoints.exists(connection, endpoint_id):
        return False
    if connection.execute(_COUNT, {"provider_id": provider_id, "id": endpoint_id}).scalar_one() >= MOST_ENDPOINTS:
        raise TooManyEndpoints
    try:
        providers.create_endpoint(
            connection,
            endpoint_id,
            provider_id,
            url=terms.url or "",
            sealed_secret=sealed_secret,
            event_types=terms.event_types or FINAL_EVENT_TYPES,
        )
    except IntegrityError:
        raise EndpointExists from None
    return True


# What was found of another address says nothing of this one.
_CHANGE: Final = text("""
WITH was AS (
  SELECT endpoint_id, url, event_types FROM endpoints
  WHERE endpoint_id = :id AND provider_id = :provider_id AND deleted_at IS NULL FOR NO KEY UPDATE
)
UPDATE endpoints e SET
  url = COALESCE(CAST(:url AS text), was.url),
  event_types = COALESCE(CAST(:event_types AS text[]), was.event_types),
  failing_since = CASE WHEN was.url = COALESCE(CAST(:url AS text), was.url) THEN e.failing_since END
FROM was WHERE e.endpoint_id = was.endpoint_id
RETURNING was.url AS old_url, was.event_types AS old_event_types, e.url, e.event_types
""")


def change(connection: Connection, provider_id: str, endpoint_id: str, terms: Terms) -> Any | None:
    """
    Change where callbacks go, or which do: ``old_url``, ``old_event_types``, ``url``, ``event_types``.

    Raises:
        EndpointExists: Another one of the provider has this URL.
    """
    event_types = None if terms.event_types is None else list(terms.event_types)
    asked = {"id": endpoint_id, "provider_id": provider_id, "url": terms.url, "event_types": event_types}
    try:
        return connection.execute(_CHANGE, asked).first()
    except IntegrityError:
        raise EndpointExists from None


# The row stays, for what was sent there; what waits there is parked by the sweeper, page by page.
_DELETE: Final = text("""
WITH was AS (
  SELECT endpoint_id, url, disabled_at FROM endpoints
  WHERE endpoint_id = :id AND provider_id = :provider_id AND deleted_at IS NULL FOR UPDATE
)
UPDATE endpoints e SET deleted_at = now(), disabled_at = COALESCE(e.disabled_at, now()),
  disabled_reason = COALESCE(e.disabled_reason, 'deleted'), old_secret = NULL, old_secret_until = NULL
FROM was WHERE e.endpoint_id = was.endpoint_id
RETURNING e.url, was.disabled_at IS NOT NULL AS was_disabled
""")


def delete(connection: Connection, provider_id: str, endpoint_id: str) -> Any | None:
    """
    Send nothing there any more: its ``url``, and whether it ``was_disabled``; None when there is no such endpoint.

    A page of what waits there is parked at once, all else by :func:`shared.db.queries.endpoint_health.park`.
    """
    row = connection.execute(_DELETE, {"id": endpoint_id, "provider_id": provider_id}).first()
    if row is not None:
        endpoint_health.park(connection, MOST_COUNTED, endpoint_id)
    return row
