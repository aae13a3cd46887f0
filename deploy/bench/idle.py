"""
How soon an idle Ringpost dials: `python -m deploy.bench.idle`.

Messages arrive open loop at random moments, three a second; 8x8 is the simulator at 0 ms, in this process and so on
the same clock. Measured from the 200 to the callflow's arrival, and the processor time that the workers take at rest.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
import psutil
import requests

from deploy import fleet
from deploy.commands.providers import create_provider
from deploy.demo.keepsake import Keepsake
from deploy.demo.surroundings import API_KEY, SUBACCOUNT, Surroundings, environment_of, load_settings
from deploy.engines import Engines
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from deploy.supervisor import Supervisor
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.settings import Settings

_PER_SECOND: Final = 3.0
_REST_S: Final = 20
_WARM_UP: Final = 10


@click.command()
@click.option("--messages", default=100, show_default=True, help="How many are measured.")
def main(messages: int) -> None:
    """Print the latency from accepting a message to dialling it, on an idle system."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringpost-bench-")))
        simulator = stack.enter_context(
            Simulator(
                SimulatorSettings(api_key=API_KEY, subaccount_id=SUBACCOUNT, time_scale=0.001, outcomes_by_suffix=False)
            )
        )
        engines = stack.enter_context(Engines(folder))
        settings, login = _prepared(engines, folder, simulator.url)
        supervisor = Supervisor(fleet.processes(fleet.program_paths() | environment_of(settings)))
        supervisor.start()
        stack.callback(supervisor.stop)
        url = f"http://127.0.0.1:{settings.port}"
        _await(url)
        for kind in ("VCA", "VSS"):
            token = settings.webhook_auth_token.get_secret_value()
            simulator.register_webhook(kind, f"{url}/api/webhooks/{kind.lower()}", token)
        accepted = _submit(url, login, messages + _WARM_UP)
        simulator.wait_for(lambda ledger: len(ledger.accepted) >= len(accepted), 10)
        dialled = {entry.destination: entry.accepted_at.timestamp() for entry in simulator.ledger.accepted}
        waits = sorted(1000 * (dialled[number] - at) for number, at in accepted[_WARM_UP:])
        _report("accepted to dialled", waits)
        _rest(supervisor)


def _prepared(engines: Engines, folder: Path, simulator_url: str) -> tuple[Settings, tuple[str, str]]:
    keepsake = Keepsake.load(folder)
    around = Surroundings(folder, "127.0.0.1", fleet.free_port("127.0.0.1", 0), 0, 0)
    database = Database(engines.database_url, application="bench", pool_size=1)
    migrate(database)
    known = load_settings(around, keepsake, (engines.database_url, engines.redis_url))
    settings = known.model_copy(update={"eight_x_eight_base_url": simulator_url, "dials_per_second": 1000.0})
    with database.transaction() as connection:
        made: dict[str, Any] = create_provider(connection, settings, "bench", None, None)
    database.close()
    return settings, (made["key_id"], made["secret"])


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/readyz", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise click.ClickException("the ingress did not become ready")


def _submit(url: str, login: tuple[str, str], count: int) -> list[tuple[str, float]]:
    """Destination and moment of each 200, submitted at random moments."""
    accepted = []
    with requests.Session() as http, click.progressbar(range(count), label="submitting") as numbers:
        due = time.monotonic()
        for number in numbers:
            due += random.expovariate(_PER_SECOND)
            time.sleep(max(0.0, due - time.monotonic()))
            destination = f"+659{1000000 + number}"
            body = {"messageId": f"bench-{number}", "customerPhone": destination, "message": "Your code is 1, 2, 3."}
            http.post(f"{url}/api/make-call", json=body, auth=login, timeout=5).raise_for_status()
            accepted.append((destination, time.time()))
    return accepted


def _report(what: str, waits: list[float]) -> None:
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    click.echo(
        f"{what}: p50 {statistics.median(waits):.1f} ms, p99 {p99:.1f} ms, max {waits[-1]:.1f} ms"
        f" (n={len(waits)}; negative: dialled before the sender read its 200)"
    )


def _rest(supervisor: Supervisor) -> None:
    heads = {name: psutil.Process(pid) for name, pid in supervisor.running().items()}
    families = {name: [head, *head.children(recursive=True)] for name, head in heads.items()}
    before = {name: _spent(family) for name, family in families.items()}
    time.sleep(_REST_S)
    for name, family in families.items():
        memory = sum(process.memory_info().rss for process in family) / 2**20
        share = 100 * (_spent(family) - before[name]) / _REST_S
        click.echo(f"{name:12} at rest: {share:.2f} % of a core, {memory:.0f} MiB in {len(family)} processes")


def _spent(family: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in family)


if __name__ == "__main__":
    main()
