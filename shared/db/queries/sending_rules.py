"""What an operator lets one provider send."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, select, update

from shared.db.tables import PROVIDERS

#: Columns of a provider that tell it; null leaves it to the setting of the same name.
COLUMNS: Final = (
    "countries",
    "number_limits",
    "messages_per_minute",
    "prefix_per_hour",
    "quiet_hours",
    "quiet_alerts",
    "detection",
)


def rules(connection: Connection, provider_id: str) -> dict[str, Any]:
    """The columns as they are; the row stays locked until the transaction ends."""
    wanted = [PROVIDERS.c[name] for name in COLUMNS]
    row = connection.execute(select(*wanted).where(PROVIDERS.c.provider_id == provider_id).with_for_update()).one()
    return dict(row._asdict())


def change(connection: Connection, provider_id: str, changed: dict[str, Any]) -> dict[str, Any]:
    """Set some columns; what they were before. A running service knows within two seconds."""
    before = rules(connection, provider_id)
    connection.execute(update(PROVIDERS).where(PROVIDERS.c.provider_id == provider_id).values(**changed))
    return {name: before[name] for name in changed}
