"""``ringpost simulator``."""

from __future__ import annotations

import click

from deploy.commands.console import WRONG_USE, Problem


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8888, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--time-scale", default=1.0, show_default=True, help="0.01: ten seconds of call last 0.1 s.")
@click.option("--subaccount", default="ringpost_simulator", show_default=True)
@click.option("--api-key", default="simulator-api-key", show_default=True)
def simulator(host: str, port: int, time_scale: float, subaccount: str, api_key: str) -> None:
    """
    Run the 8x8 simulator alone.

    Point EIGHT_X_EIGHT_BASE_URL and EIGHT_X_EIGHT_EXPORT_URL at it; what a phone does is chosen by the last four
    digits of its number, see GET /sim/outcomes.
    """
    from deploy.simulator.server import run
    from deploy.simulator.settings import SimulatorSettings

    try:
        settings = SimulatorSettings(
            host=host, port=port, time_scale=time_scale, subaccount_id=subaccount, api_key=api_key
        )
        run(settings)
    except (OSError, ValueError) as error:
        raise Problem(f"--port, --host or --time-scale: {error}", WRONG_USE) from None
