"""How long does it take to prove that a million messages are accounted for?"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any, Final

from deploy import fleet
from deploy.bench import bulk
from deploy.bench.figures import median
from deploy.bench.measures.growth import vacuum
from deploy.bench.result import Measured
from deploy.bench.scene import Scene
from deploy.commands.providers import create_provider
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.lifecycle import Lane

_CHUNK: Final = 50_000
_WAITING: Final = 1000
_ROUNDS: Final = 3


def audit(scene: Scene) -> Measured:
    """The command itself, process start included, on a database that keeps every promise."""
    measured = Measured("audit", "The conservation audit")
    scene.stage.stop_workers()
    rows = scene.count(20_000, 1_000_000)
    url = _filled(scene, rows)
    took, spent, told = [], [], {}
    for number in range(1, _ROUNDS + 1):
        scene.tell(f"auditing {rows:,} messages, {number} of {_ROUNDS}")
        began, spent_before = time.perf_counter(), _spent_s(scene)
        told = _audited(scene, url)
        took.append(time.perf_counter() - began)
        spent.append(_spent_s(scene) - spent_before)
    measured.add("seconds", f"`ringpost audit` of {rows:,} messages", median(took), "s")
    measured.add("slowest", "the slowest round", max(took), "s")
    measured.add("cpu_s", "processor time of it, the command's and PostgreSQL's", median(spent), "s")
    measured.add("messages", "messages audited", sum(told["messages"].values()))
    measured.add("callbacks", "callbacks audited", sum(told["callbacks"].values()))
    measured.add("findings", "messages not accounted for", sum(one["count"] for one in told["findings"]))
    return measured


def _filled(scene: Scene, rows: int) -> str:
    """A database of delivered messages that were told and called back, and a few that wait; its URL."""
    stage = scene.stage
    assert stage.engines.postgres is not None
    url = stage.engines.postgres.create_database(f"audited_{rows}")
    database = Database(url, application="bench", pool_size=1, statement_timeout_s=600)
    migrate(database)
    with database.transaction() as connection:
        made = create_provider(connection, stage.settings, "audited", None, "https://audited.example/callbacks")
    provider_id = str(made["provider_id"])
    for first in range(1, rows + 1, _CHUNK):
        scene.tell(f"storing {first - 1:,} of {rows:,} messages")
        with database.transaction() as connection:
            last = min(rows, first + _CHUNK - 1)
            bulk.fill_callbacks(connection, provider_id, "ep_audited", first, last, are_done=True)
    with database.transaction() as connection:
        bulk.fill_waiting(connection, provider_id, Lane.OTP, 1, _WAITING)
    database.close()
    scene.tell(f"vacuuming {rows:,} messages")
    vacuum(url)
    return url


def _audited(scene: Scene, url: str) -> dict[str, Any]:
    """What the command says; exit code 1 is its bad news, and is in there, too."""
    environment = scene.stage.environment(DATABASE_URL=url)
    command = [sys.executable, "-c", "from deploy.cli import main; main()", "audit", "--json"]
    done = subprocess.run(command, env=environment, cwd=fleet.PROJECT, capture_output=True, text=True, check=False)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _spent_s(scene: Scene) -> float:
    """Processor seconds so far, of PostgreSQL and of commands that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return scene.stage.meter.postgres_s() + ended.ru_utime + ended.ru_stime
