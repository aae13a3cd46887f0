"""``ringpost up`` with its own engines: however it ends, it leaves nothing behind."""

import math
import signal
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial

import psutil
import pytest
import requests
from urllib3.exceptions import NewConnectionError

from deploy import fleet
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.receiver import Receiver
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from shared.db.database import Database
from tests.e2e.stage import PATIENCE, RINGPOST, STARTING, TOKEN, all_processes_of, free_port, settings_for, wait_until

GONE_WITHIN = 10  # s after kill -9
DRAINED_WITHIN = 25  # s after SIGTERM
STOPPED_WITHIN = 20  # s after that, with its engines
PACE = 0.05  # s between a sender's messages
LEAVING = 2  # s in which an ingress process that is to end asks its clients to connect anew

pytestmark = pytest.mark.xdist_group("fleets")


@pytest.fixture
def simulator():
    settings = SimulatorSettings(subaccount_id="e2e_voice", time_scale=0.01, outcomes_by_suffix=False)
    with Simulator(settings) as simulator:
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
            with suppress(psutil.NoSuchProcess):
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


class Sender(threading.Thread):
    """One message after the other on a kept connection, as long as somebody takes connections."""

    def __init__(self, url, key, number):
        super().__init__(daemon=True)
        self._url, self._key, self._number = url, key, number
        self._pause = threading.Event()
        self.accepted, self.failed = [], []
        self.may_be_cut_off_at = math.inf

    def run(self):
        with requests.Session() as http:
            http.auth = self._key
            while not self._pause.wait(PACE):
                try:
                    reply = http.post(f"{self._url}/api/make-call", json=self._body(), timeout=DRAINED_WITHIN)
                except requests.ConnectionError as error:
                    # When a leaving process hangs up, who was silent for long may be sending, and who is new may not
                    # have been taken yet; not before.
                    if not was_refused(error) and time.monotonic() < self.may_be_cut_off_at:
                        self.failed.append(repr(error))
                    return
                (self.accepted if reply.ok else self.failed).append(reply.text if not reply.ok else reply.json())

    def _body(self):
        phone = f"+659{1000000 + 100000 * self._number + len(self.accepted)}"
        return {"messageId": phone, "customerPhone": phone, "message": "Your code is 4, 0, 7."}


def was_refused(error):
    """Whether nobody took the connection, so that nothing was sent and nothing failed."""
    return isinstance(getattr(error.args[0], "reason", None), NewConnectionError)


def test_kill_9_of_the_supervisor_leaves_no_process(up):
    process, _, settings = up
    wait_until(lambda: len(family_of(process)) > 12, what="everything runs")
    family = family_of(process)

    process.send_signal(signal.SIGKILL)
    process.wait()

    assert are_gone(family, settings.ringpost_data_dir, GONE_WITHIN)


def test_sigterm_drains_every_process_under_load_and_leaves_nothing_in_doubt(up, simulator):
    process, url, settings = up
    engines = Engines(settings.ringpost_data_dir)
    database = Database(engines.database_url, application="e2e", pool_size=1)
    simulator.register_webhook("VSS", f"{url}/api/webhooks/vss", TOKEN)
    simulator.set_fault("slow_reply", seconds=0.5)
    with Receiver() as receiver:
        with database.transaction() as connection:
            made = create_provider(connection, settings, "bank", None, f"{receiver.url}/callbacks")
        senders = [Sender(url, (made["key_id"], made["secret"]), number) for number in range(3)]
        for sender in senders:
            sender.start()
        receiver.wait_for(lambda received: len(received) > 20, STARTING)
        family = family_of(process)
        workers = all_processes_of(settings.ringpost_data_dir)

        process.send_signal(signal.SIGTERM)
        for sender in senders:
            sender.may_be_cut_off_at = time.monotonic() + LEAVING

        _, alive = psutil.wait_procs([one for one in workers if one.pid != process.pid], timeout=DRAINED_WITHIN)
        assert alive == []
        assert process.wait(STOPPED_WITHIN) == 0
        assert are_gone(family, settings.ringpost_data_dir, 1)
        told = {one.headers["webhook-id"] for one in receiver.received}
    for sender in senders:
        sender.join(PATIENCE)
    database.close()
    assert [failure for sender in senders for failure in sender.failed] == []
    accepted = {reply["data"]["id"] for sender in senders for reply in sender.accepted}
    with engines:
        ask = partial(rows, database)
        assert accepted == {row.id for row in ask("SELECT id FROM messages")}
        assert {row.status for row in ask("SELECT status FROM messages")} <= {"queued", "placed", "delivered"}
        attempts = {row.attempt_id: row.session_id for row in ask("SELECT * FROM dial_attempts")}
        assert attempts == {call.client_request_id: call.session_id for call in simulator.ledger.accepted}
        assert {row.state for row in ask("SELECT state FROM callbacks")} <= {"due", "done"}
        assert told == {row.event_id for row in ask("SELECT event_id FROM callbacks WHERE state = 'done'")}
        database.close()


def rows(database, query):
    return database.run(lambda connection: connection.exec_driver_sql(query).all(), patience_s=PATIENCE)
