"""A flood: what is beyond capacity is refused at once, what is accepted is stored once, and then all is well again."""

import asyncio
import base64
import itertools
import json
import resource
import subprocess
import sys
import time

import pytest
import requests

from deploy import fleet
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from deploy.supervisor import Supervisor
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.lifecycle import Status
from tests.e2e.stage import STARTING, free_port, settings_for, wait_until

CONNECTIONS = 3000  # more than two processes hold, and more than they answer in a moment
ROUNDS = 2
NUMBER = "+6581234567"

# One group: two workers that share these tests would each start engines and an ingress.
pytestmark = pytest.mark.xdist_group("fleets")


class Ingress:
    """The Procfile's web line alone, on engines of its own."""

    def __init__(self, database, settings, supervisor, auth):
        self.database, self.settings, self.supervisor, self.auth = database, settings, supervisor, auth
        self.url = f"http://127.0.0.1:{settings.port}"

    def flood(self):
        """Everybody at once, again and again on kept connections; status, headers, body and seconds of each answer."""
        return asyncio.run(self._flood())

    async def _flood(self):
        numbers, all_there = itertools.count(), asyncio.Barrier(CONNECTIONS)
        asking = (self._ask(numbers, all_there) for _ in range(CONNECTIONS))
        return list(itertools.chain(*await asyncio.gather(*asking)))

    async def _ask(self, numbers, all_there):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.port)
        await all_there.wait()  # however slow the machine is, the requests come together
        answers = []
        for _ in range(ROUNDS):
            name = f"FLOOD{next(numbers)}"
            began = time.monotonic()
            writer.write(self._request(name))
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            answers.append((name, int(head.split()[1]), headers, body, time.monotonic() - began))
        writer.close()
        return answers

    def _request(self, name):
        body = json.dumps({"messageId": name, "customerPhone": NUMBER, "message": "Your code is 4711."})
        key = base64.b64encode(":".join(self.auth).encode()).decode()
        return (
            f"POST /api/make-call HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def get(self, path):
        return requests.get(self.url + path, timeout=10)


@pytest.fixture(scope="module", autouse=True)
def many_files():
    """This process holds the connections' other ends."""
    known = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (known[1], known[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, known)


@pytest.fixture(scope="module")
def ingress(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overload")
    with Engines(folder / "data", fast=True) as engines, (folder / "log").open("w") as log:
        database = Database(engines.database_url, application="e2e")
        migrate(database)
        settings = settings_for(engines, folder / "data", "http://127.0.0.1:9", free_port())
        with database.transaction() as connection:
            made = create_provider(connection, settings, "bank", None, None)
        environment = environment_of(settings) | fleet.program_paths()
        web = [process for process in fleet.processes(environment) if process.name == "web"]
        supervisor = Supervisor(web, out=log)
        supervisor.start()
        try:
            ingress = Ingress(database, settings, supervisor, (made["key_id"], made["secret"]))
            wait_until(lambda: ingress.get("/readyz").ok, STARTING, "the ingress is ready")
            yield ingress
        finally:
            supervisor.stop()
            database.close()


def test_a_flood_is_refused_and_leaves_nothing_behind(ingress):
    answers = ingress.flood()

    accepted = [name for name, status, *_ in answers if status == 200]
    refused = [(headers, body) for _, status, headers, body, _ in answers if status == 503]
    assert len(accepted) + len(refused) == len(answers) == CONNECTIONS * ROUNDS
    assert refused
    for headers, body in refused:
        assert (headers["retry-after"], headers["content-type"]) == ("1", "application/problem+json")
        assert (body["code"], body["requestId"]) == ("overloaded", headers["x-request-id"])
    with ingress.database.statement() as connection:
        stored = connection.exec_driver_sql("SELECT message_id, status FROM messages").all()
    assert sorted(row.message_id for row in stored) == sorted(accepted)
    assert {row.status for row in stored} == {Status.QUEUED}
    wait_until(lambda: ingress.get("/readyz").elapsed.total_seconds() < 1, 5, "recovered")
    lone = requests.post(
        f"{ingress.url}/api/make-call",
        json={"messageId": "AFTER", "customerPhone": NUMBER, "message": "Hello"},
        auth=ingress.auth,
        timeout=5,
    )
    assert lone.status_code == 200


def test_idle_connections_keep_nobody_out(ingress):
    script = (
        "import socket, sys; held = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(600)];"
        " print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(ingress.settings.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"

        assert ingress.get("/healthz").status_code == 200
    finally:
        holder.communicate()
