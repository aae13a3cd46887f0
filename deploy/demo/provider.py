"""The demo provider: made once for each data folder, its endpoint moved along with the receiver's port."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg2

from deploy.demo.keepsake import Keepsake

if TYPE_CHECKING:
    from deploy.engines import Engines
    from shared.settings import Settings

NAME: Final = "demo"
_MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "shared" / "db" / "migrations" / "versions"


def is_prepared(database_url: str, keepsake: Keepsake, callback_url: str) -> bool:
    """
    Whether the database of an earlier run can be used as it is.

    Asked without SQLAlchemy and Alembic, whose imports take longer than everything else here.
    """
    files = [path.read_text() for path in _MIGRATIONS.glob("*.py")]
    newest = max(found for text in files for found in re.findall(r"(?m)^revision\b.*= ['\"](\w+)['\"]", text))
    connection = psycopg2.connect(database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT version_num FROM alembic_version),"
                " EXISTS (SELECT FROM endpoints JOIN providers USING (provider_id)"
                " JOIN api_keys USING (provider_id) WHERE endpoint_id = %s AND url = %s AND key_id = %s"
                " AND endpoints.disabled_at IS NULL AND revoked_at IS NULL AND providers.disabled_at IS NULL)",
                (keepsake.endpoint_id, callback_url, keepsake.key_id),
            )
            return cursor.fetchone() == (newest, True)
    except psycopg2.errors.UndefinedTable:
        return False
    finally:
        connection.close()


def prepare(engines: Engines, settings: Settings, keepsake: Keepsake, callback_url: str) -> None:
    """Migrate, then make the provider or move its endpoint; what is new is left in *keepsake*."""
    from deploy.commands.console import open_transaction
    from deploy.commands.providers import create_provider
    from deploy.commands.up import prepare_database
    from shared.db.queries import operations, providers

    prepare_database(engines)
    with open_transaction(settings) as connection:
        if keepsake.provider_id and operations.move_endpoint(connection, keepsake.endpoint_id, callback_url):
            return
        taken = providers.find_provider(connection, NAME) is not None
        # The keepsake was deleted but not the database: nobody knows the old one's secret any more.
        name = f"{NAME} {keepsake.webhook_auth_token[:6]}" if taken else NAME
        made = create_provider(connection, settings, name, None, callback_url)
    for member in ("provider_id", "key_id", "secret", "endpoint_id", "callback_secret"):
        setattr(keepsake, member, made[member])
