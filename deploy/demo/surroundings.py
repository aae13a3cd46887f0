"""The settings of ``ringpost dev``: the simulator in 8x8's place, free ports, everything on this machine."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy import fleet
from deploy.demo.keepsake import Keepsake

if TYPE_CHECKING:
    from shared.settings import Settings

HOST: Final = "127.0.0.1"
API_KEY: Final = "simulator-api-key"
SUBACCOUNT: Final = "demo_voice"
SOURCE: Final = "+6531580001"
_PORT: Final = 5678
_SIMULATOR_PORT: Final = 5688
_RECEIVER_PORT: Final = 5698
#: The demo call's 13 seconds last two.
TIME_SCALE: Final = 0.16

#: What somebody who only wants to look at it would choose; the environment may say otherwise.
_PREFERRED: Final = {
    "ALLOWED_COUNTRIES": "*",
    "LEGACY_ADMIN_AUTH": "true",
    "LOG_FORMAT": "text",
    "LOG_LEVEL": "WARNING",
    "NUMBER_LIMITS": "100/600",  # nobody is called, and one number is tried out again and again
    "WEB_CONCURRENCY": "1",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where everything of one run is."""

    data_dir: Path
    host: str
    port: int
    simulator_port: int
    receiver_port: int
    held: tuple[socket.socket, ...] = ()

    def let_go(self) -> None:
        """Leave the ports to the processes that are about to start."""
        for each in self.held:
            each.close()

    @property
    def url(self) -> str:
        """The ingress, from this machine."""
        host = HOST if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104, only compared
        return f"http://{host}:{self.port}"

    @property
    def simulator_url(self) -> str:
        """8x8's place."""
        return f"http://{HOST}:{self.simulator_port}"

    @property
    def callback_url(self) -> str:
        """The demo provider's endpoint."""
        return f"http://{HOST}:{self.receiver_port}/callbacks"


def survey() -> Surroundings:
    """Choose the ports, the same each time while they are free, and keep others from them."""
    host = os.environ.get("HOST") or HOST
    wanted = os.environ.get("PORT", "")
    held = (
        fleet.hold_port(host, int(wanted) if wanted.isdecimal() else _PORT),
        fleet.hold_port(HOST, _SIMULATOR_PORT),
        fleet.hold_port(HOST, _RECEIVER_PORT),
    )
    port, simulator_port, receiver_port = (each.getsockname()[1] for each in held)
    data_dir = Path(os.environ.get("RINGPOST_DATA_DIR") or ".ringpost").absolute()
    return Surroundings(data_dir, host, port, simulator_port, receiver_port, held)


def load_settings(around: Surroundings, keepsake: Keepsake, urls: tuple[str, str]) -> Settings:
    """
    The service's settings. A ``.env`` is left alone: it may belong to a production.

    Raises:
        SettingsError: The environment says something unusable.
    """
    from shared.settings import Settings

    known: dict[str, Any] = {name.lower(): text for name, text in _PREFERRED.items() if name not in os.environ}
    return Settings.load(
        _env_file=None,
        **known,
        eight_x_eight_api_key=API_KEY,
        eight_x_eight_subaccount_id=SUBACCOUNT,
        eight_x_eight_base_url=around.simulator_url,
        eight_x_eight_export_url=around.simulator_url,
        outbound_phone_number=SOURCE,
        webhook_auth_token=keepsake.webhook_auth_token,
        webhook_base_url=around.url,
        webhook_allowed_ips="",
        webhook_path_secret="",
        callback_allowed_networks="127.0.0.0/8",
        ringpost_data_key=keepsake.data_key,
        ringpost_data_dir=around.data_dir,
        host=around.host,
        port=around.port,
        database_url=urls[0],
        redis_url=urls[1],
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """Every setting as a variable, so that no ``.env`` can add to them."""
    return {name.upper(): fleet.as_text(getattr(settings, name)) for name in type(settings).model_fields}
