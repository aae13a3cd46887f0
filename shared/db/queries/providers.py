"""Who may send: providers, their keys and their callback endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text, update

from shared.db.queries import daily_calls
from shared.db.tables import API_KEYS, ENDPOINTS, PROVIDERS
from shared.lifecycle import FINAL_EVENT_TYPES, Mode
from shared.sending_rules import NO_RULES, SendingRules, parse_number_limits, parse_quiet_hours

#: The provider behind the demo's login ``admin:WEBHOOK_AUTH_TOKEN``.
LEGACY_PROVIDER_ID: Final = "prov_legacy"


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """What a key opens: its provider, where that may call, and the URLs it may be called back on."""

    key_id: str
    secret_hash: bytes
    provider_id: str
    countries: tuple[str, ...] | None  # None: the setting's
    endpoints: dict[str, str]  # URL -> endpoint id
    mode: Mode = Mode.LIVE
    rules: SendingRules = NO_RULES


_ENDPOINTS: Final = text(
    "SELECT url, endpoint_id FROM endpoints WHERE provider_id = :provider_id AND deleted_at IS NULL"
)


def endpoints_of(connection: Connection, provider_id: str) -> dict[str, str]:
    """Where a provider may be called back: URL -> endpoint id."""
    return {row.url: row.endpoint_id for row in connection.execute(_ENDPOINTS, {"provider_id": provider_id})}


_OWNER: Final = """
SELECT p.provider_id, p.countries, p.number_limits, p.messages_per_minute, p.prefix_per_hour, p.quiet_hours,
  p.quiet_alerts, p.detection,
  ARRAY(SELECT url FROM endpoints e WHERE e.provider_id = p.provider_id AND e.deleted_at IS NULL
    ORDER BY endpoint_id) AS urls,
  ARRAY(SELECT endpoint_id FROM endpoints e WHERE e.provider_id = p.provider_id AND e.deleted_at IS NULL
    ORDER BY endpoint_id) AS endpoint_ids
"""


def owner_of_key(connection: Connection, key_id: str) -> KeyOwner | None:
    """Whose key this is; None when it is unknown, revoked or expired, or its provider disabled."""
    row = connection.execute(
        text(
            _OWNER + ", k.key_id, k.secret_hash, k.mode FROM api_keys k JOIN providers p USING (provider_id)"
            " WHERE k.key_id = :key_id AND k.revoked_at IS NULL AND p.disabled_at IS NULL"
            " AND (k.expires_at IS NULL OR k.expires_at > now())"
        ),
        {"key_id": key_id},
    ).first()
    return None if row is None else _owner(row, row.key_id, bytes(row.secret_hash), Mode(row.mode))


def legacy_owner(connection: Connection) -> KeyOwner | None:
    """The demo's own provider, made when first asked for; None when it was disabled."""
    connection.execute(
        text("INSERT INTO providers (provider_id, name) VALUES (:id, 'legacy') ON CONFLICT DO NOTHING"),
        {"id": LEGACY_PROVIDER_ID},
    )
    row = connection.execute(
        text(_OWNER + " FROM providers p WHERE p.provider_id = :id AND p.disabled_at IS NULL"),
        {"id": LEGACY_PROVIDER_ID},
    ).first()
    return None if row is None else _owner(row, "admin", b"", Mode.LIVE)


def _owner(row: Any, key_id: str, secret_hash: bytes, mode: Mode) -> KeyOwner:
    return KeyOwner(
        key_id=key_id,
        secret_hash=secret_hash,
        provider_id=row.provider_id,
        countries=None if row.countries is None else tuple(row.countries),
        endpoints=dict(zip(row.urls, row.endpoint_ids, strict=True)),
        rules=SendingRules(
            number_limits=None if row.number_limits is None else parse_number_limits(row.number_limits),
            messages_per_minute=row.messages_per_minute,
            prefix_per_hour=row.prefix_per_hour,
            quiet_hours=None if row.quiet_hours is None else parse_quiet_hours(row.quiet_hours),
            quiet_alerts=row.quiet_alerts,
            detection=row.detection,
        ),
        mode=mode,
    )


def create_provider(connection: Connection, provider_id: str, name: str, countries: Sequence[str] | None) -> None:
    """A new provider; the name must be free."""
    connection.execute(
        insert(PROVIDERS).values(
            provider_id=provider_id, name=name, countries=None if countries is None else list(countries)
        )
    )
    daily_calls.open_counts(connection, [provider_id])


def create_key(connection: Connection, key_id: str, provider_id: str, secret_hash: bytes) -> None:
    """A new key; only the hash of its secret is kept."""
    connection.execute(insert(API_KEYS).values(key_id=key_id, provider_id=provider_id, secret_hash=secret_hash))


def create_endpoint(
    connection: Connection,
    endpoint_id: str,
    provider_id: str,
    *,
    url: str,
    sealed_secret: bytes,
    event_types: Sequence[str] = FINAL_EVENT_TYPES,
) -> None:
    """A new callback endpoint."""
    connection.execute(
        insert(ENDPOINTS).values(
            endpoint_id=endpoint_id,
            provider_id=provider_id,
            url=url,
            secret=sealed_secret,
            event_types=list(event_types),
        )
    )


def list_providers(connection: Connection) -> list[dict[str, Any]]:
    """Every provider with its live keys and endpoints."""
    rows = connection.execute(
        text("""
        SELECT p.provider_id, p.name, p.countries, p.created_at, p.disabled_at,
          ARRAY(SELECT key_id FROM api_keys k WHERE k.provider_id = p.provider_id AND k.revoked_at IS NULL
            ORDER BY key_id) AS keys,
          ARRAY(SELECT url FROM endpoints e WHERE e.provider_id = p.provider_id AND e.deleted_at IS NULL
            ORDER BY url) AS endpoints
        FROM providers p ORDER BY p.created_at, p.provider_id
        """)
    )
    return [dict(row._asdict()) for row in rows]


def find_provider(connection: Connection, name_or_id: str) -> str | None:
    """The id of the provider with that name or id."""
    found: str | None = connection.execute(
        select(PROVIDERS.c.provider_id).where(
            (PROVIDERS.c.name == name_or_id) | (PROVIDERS.c.provider_id == name_or_id)
        )
    ).scalar()
    return found


def disable_provider(connection: Connection, provider_id: str) -> bool:
    """Refuse the provider's keys from now on; what it submitted goes on."""
    done = connection.execute(
        update(PROVIDERS)
        .where(PROVIDERS.c.provider_id == provider_id, PROVIDERS.c.disabled_at.is_(None))
        .values(disabled_at=text("now()"))
    )
    return done.rowcount == 1


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Refuse the key from now on."""
    done = connection.execute(
        update(API_KEYS)
        .where(API_KEYS.c.key_id == key_id, API_KEYS.c.revoked_at.is_(None))
        .values(revoked_at=text("now()"))
    )
    return done.rowcount == 1
