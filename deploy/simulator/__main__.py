"""``python -m deploy.simulator``: the simulator as a process."""

from __future__ import annotations

import gc
import json
from typing import Any, Final

import click

from deploy.simulator.server import run
from deploy.simulator.settings import SimulatorSettings

#: Cycles are sought among new objects, and practically never among all.
_YOUNG_ONLY: Final = (20_000, 20, 1_000_000)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default="any free port", type=click.IntRange(0, 65535))
@click.option("--time-scale", default=1.0, show_default=True, help="0.01: ten seconds of call last 0.1 s.")
@click.option("--json-options", default="{}", metavar="JSON", help="Any setting of SimulatorSettings by its name.")
def main(host: str, port: int, time_scale: float, json_options: str) -> None:
    """Speak 8x8's side of the Voice API on this machine."""
    try:
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "time_scale": time_scale,
            **json.loads(json_options),
        }
        settings = SimulatorSettings.from_json(options)
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    # It keeps every call: looking through all for cycles takes longer each time, and calls stand still meanwhile.
    gc.set_threshold(*_YOUNG_ONLY)
    run(settings)


if __name__ == "__main__":
    main()
