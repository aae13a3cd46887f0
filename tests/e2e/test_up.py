"""``ringpost up`` with its own engines: however it ends, it leaves nothing behind."""

import signal
import subprocess

import psutil
import pytest
import requests

from deploy import fleet
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from shared.db.database import Database
from tests.e2e.stage import RINGPOST, STARTING, TOKEN, all_processes_of, free_port, settings_for, wait_until

GONE_WITHIN = 10  # s after kill -9
DRAINED_WITHIN = 25  # s after SIGTERM

pytestmark = pytest.mark.xdist_group("up")


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(subaccount_id="e2e_voice", time_scale=0.01)) as simulator:
        yield simulator


@pytest.fixture
def up(tmp_path, simulator):
    """A running ``ringpost up``, ready; whatever a failed test leaves of it is killed."""
    settings = settings_for(Engines(tmp_path / "unused"), tmp_path / "data", simulator.url, free_port())
    known = environment_of(settings) | fleet.program_paths() | {"WEB_CONCURRENCY": "1", "HOME": str(tmp_path)}
    environment = {name: text for name, text in known.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    with (tmp_path / "up.log").open("w") as log:
        process = subprocess.Popen([RINGPOST, "up"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{settings.port}"
    try:
        wait_until(lambda: requests.get(f"{url}/readyz", timeout=2).ok, STARTING, (tmp_path / "up.log").read_text())
        yield process, url, settings
    finally:
        for left in [*family_of(process), *all_processes_of(settings.ringpost_data_dir)]:
            left.kill()
        process.wait()


def family_of(process):
    """The process and all that it started."""
    try:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def are_gone(family, data_dir, within):
    """Whether all have ended in time, those too that were born after the family was counted."""
    _, alive = psutil.wait_procs(family, timeout=within)
    living = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    return [*living, *all_processes_of(data_dir)] == []


def submit(url, message_id):
    body = {"messageId": message_id, "customerPhone": "+6591234567", "message": "Your code is 4, 0, 7."}
    return requests.post(f"{url}/api/make-call", json=body, auth=("admin", TOKEN), timeout=10)


def test_kill_9_of_the_supervisor_leaves_no_process(up):
    process, _, settings = up
    wait_until(lambda: len(family_of(process)) > 12, what="everything runs")
    family = family_of(process)

    process.send_signal(signal.SIGKILL)
    process.wait()

    assert are_gone(family, settings.ringpost_data_dir, GONE_WITHIN)


def test_sigterm_lets_a_call_be_placed_and_recorded_and_leaves_no_process(up, simulator):
    process, url, settings = up
    simulator.set_fault("slow_reply", seconds=2)
    family = family_of(process)
    assert submit(url, "drained").ok
    simulator.wait_for(lambda ledger: len(ledger.accepted) == 1, timeout_s=20)

    process.send_signal(signal.SIGTERM)

    assert process.wait(DRAINED_WITHIN) == 0
    assert are_gone(family, settings.ringpost_data_dir, 1)
    with Engines(settings.ringpost_data_dir) as engines:
        database = Database(engines.database_url, application="e2e", pool_size=1)
        query = "SELECT status, session_id FROM messages"
        rows = database.run(lambda connection: connection.exec_driver_sql(query).all())
        assert rows == [("placed", simulator.ledger.accepted[0].session_id)]
        database.close()
