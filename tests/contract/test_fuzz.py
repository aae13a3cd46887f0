"""
Whatever is sent to a running ingress, nothing breaks: no 5xx, no answer that is not documented, no process dies, and
stored is what was accepted, once.

``ringpost chaos fuzz`` asks for it by ``RINGPOST_FUZZ``, the number of requests; the suite does the same with few
requests and without a socket (test_openapi.py).
"""

import asyncio
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import click
import pytest
import requests
from sqlalchemy import text

from deploy import fleet, trial
from deploy.chaos.victims import workers_of
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.supervisor import Supervisor
from shared.db.database import Database
from tests.contract.fuzzing import Ledger, drawn
from tests.contract.odd_requests import Oddities
from tests.contract.raw_client import Line
from tests.contract.slow_clients import KINDS, hang, honest
from tests.integration.conftest import database_url, engines, migrated_template, redis_url  # noqa: F401
from tests.integration.ingress_stage import basic

CASES = int(os.environ.get("RINGPOST_FUZZ", "0"))
SEED = int(os.environ.get("RINGPOST_FUZZ_SEED", "1"))
LINES = 8
SLOW = 200
#: Of so many drawn requests one is Schemathesis's, of each operation.
GENERATED = 5000

_CONFIG = """
[auth.openapi.basicKey]
username = "{key_id}"
password = "{secret}"
[auth.openapi.webhookSecret]
api_key = "{token}"
[auth.openapi.metricsToken]
bearer = "{metrics}"
[generation]
allow-x00 = false  # refused in every text, which no schema says; the other requests have enough of it
[checks.positive_data_acceptance]
# What a schema cannot say: a number that exists, a deadline ahead, an earlier page's cursor. JSON of any size.
expected-statuses = ["2xx", "401", "403", "404", "409", "413", "422"]
"""


class Ingress:
    """The Procfile's web process alone, with a provider."""

    def __init__(self, engines_urls, folder):
        changes = {"allowed_countries": "*", "auth_failures_per_minute": 10**6, "metrics_token": "fuzz-metrics-token"}
        self.settings = trial.settings_for(*engines_urls, folder, "http://127.0.0.1:9", **changes)
        self.database = Database(self.settings.database_url, application="fuzz")
        with self.database.transaction() as connection:
            self.made = create_provider(connection, self.settings, "fuzz", ["*"], "http://127.0.0.1:9/callbacks")
        self.url = f"http://127.0.0.1:{self.settings.port}"
        environment = environment_of(self.settings) | fleet.program_paths()
        web = [process for process in fleet.processes(environment) if process.name == "web"]
        self.log = (folder / "web.log").open("w")
        self.deaths = []
        self.supervisor = Supervisor(web, out=self.log, on_exit=lambda *told: self.deaths.append(told))
        self.supervisor.start()
        trial.wait_until(lambda: trial.takes_messages(self.url), "the ingress is ready", 60)
        self.workers = self.pids()

    def pids(self):
        return sorted(workers_of(self.supervisor, "web"))

    def close(self):
        self.supervisor.stop()
        self.database.close()
        self.log.close()

    def stored(self, statement):
        with self.database.statement() as connection:
            return [row[0] for row in connection.execute(text(statement))]


@pytest.fixture(scope="module")
def ingress(database_url, redis_url, tmp_path_factory):  # noqa: F811
    ingress = Ingress((database_url, redis_url), tmp_path_factory.mktemp("data"))
    yield ingress
    ingress.close()


async def send_all(port, requests_, ledger, count):
    async def one_line(line):
        for asked in requests_:
            try:
                status, headers, body = await line.send(asked)
            except (OSError, TimeoutError) as error:
                ledger.complain(asked, repr(error))
            else:
                ledger.note(asked, status, headers, body)
            count()
        line.close()

    await asyncio.gather(*(one_line(Line(port)) for _ in range(LINES)))


@pytest.fixture
def tell(capsys):
    """Says a line to whoever runs the tests."""

    def tell(line):
        with capsys.disabled():
            click.echo(f"\n{line}")

    return tell


def fuzz_a_running_ingress(ingress, tell):
    ledger, sent = Ledger(), Counter()
    key = basic(ingress.made["key_id"], ingress.made["secret"])["Authorization"]
    oddities = Oddities(random.Random(SEED), key, ingress.settings.webhook_auth_token.get_secret_value())

    def count():
        sent["all"] += 1
        if sent["all"] % 1000 == 0 or sent["all"] == CASES:
            tell(f"fuzzed {sent['all']}")

    asyncio.run(send_all(ingress.settings.port, drawn(oddities, CASES), ledger, count))

    for (path, status), number in sorted(ledger.statuses.items()):
        tell(f"figure {path} {status} {number}")
    assert list(ledger.complaints.values())[:20] == []
    assert ingress.pids() == ingress.workers
    assert ingress.deaths == []
    messages, events = "SELECT id FROM messages", "SELECT dedupe_key FROM webhook_inbox"
    assert sorted(ingress.stored(messages)) == sorted(ledger.accepted)
    assert sorted(ingress.stored(events)) == sorted(ledger.events)


def run_schemathesis(ingress, tmp_path, tell):
    config = tmp_path / "schemathesis.toml"
    known = {"key_id": ingress.made["key_id"], "secret": ingress.made["secret"], "metrics": "fuzz-metrics-token"}
    config.write_text(_CONFIG.format(**known, token=ingress.settings.webhook_auth_token.get_secret_value()))
    program = Path(sys.executable).with_name("schemathesis")
    options = [
        "--seed",
        str(SEED),
        "--request-timeout",
        "40",  # GET /v1/events waits for 25 s where it is asked to
        "--max-examples",
        str(max(5, CASES // GENERATED)),
        "--no-color",
        "--warnings",
        "off",
    ]
    child = subprocess.run(
        [program, "--config-file", config, "run", f"{ingress.url}/openapi.json", *options],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if generated := re.search(r"([\d,]+) generated", child.stdout):
        tell(f"figure generated by Schemathesis {generated[1]}")

    assert child.returncode == 0, child.stdout[-20_000:] + child.stderr[-2000:]
    assert ingress.pids() == ingress.workers
    assert requests.get(f"{ingress.url}/readyz", timeout=5).json()["status"] == "ok"


def hang_on_a_running_ingress(ingress, tell):
    port = ingress.settings.port

    async def run():
        before = await honest(port, 200)
        hanging = [asyncio.create_task(hang(port, kind, 60)) for kind in KINDS for _ in range(SLOW // len(KINDS) + 1)]
        await asyncio.sleep(2)
        during = await honest(port, 200)
        ended = await asyncio.gather(*hanging)
        return before, during, await honest(port, 200), ended

    before, during, after, ended = asyncio.run(run())

    assert [one for one in ended if one is None] == []
    tell(f"figure honest with {SLOW} slow, times usual {during / max(before, after):.2f}")
    assert during < 3 * max(before, after)


if CASES:
    # Without a number of requests there is no such test: it takes minutes.
    test_a_running_ingress_answers_as_documented_and_stores_what_it_accepted_once = fuzz_a_running_ingress
    test_slow_clients_are_cut_off_and_others_answered_as_before = hang_on_a_running_ingress
    test_a_running_ingress_passes_schemathesis = pytest.mark.timeout(3600)(run_schemathesis)
    pytestmark = pytest.mark.timeout(7200)
