"""
``deploy/haproxy.cfg`` and ``deploy/nginx.conf`` before two real ingress processes.

Nothing is installed: where neither program is, the tests say so (on Debian: apt-get install haproxy nginx-light).
"""

import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.commands.providers import create_provider
from tests.integration.balancers import NAMES, balancer, ingress, is_there, until
from tests.integration.conftest import settings_in

OURS, OTHERS = "127.0.0.2", "127.0.0.3"
TOKEN = {"Authorization": "test-webhook-token"}
SUMMARY = {"eventType": "SESSION_SUMMARY", "payload": {"sessionId": "s-1"}}
SENDERS = 4
METRICS_TOKEN = "0123456789abcdefghij"
_numbers = itertools.count(1)

pytestmark = pytest.mark.xdist_group("balancers")


@pytest.fixture(params=NAMES)
def name(request):
    if not is_there(request.param):
        pytest.skip(f"{request.param} is not installed on this machine")
    return request.param


@pytest.fixture(scope="module")
def both(database_url, redis_url, tmp_path_factory):
    """The ports of two ingress processes that tests leave as they are; 8x8's webhooks may come from one address."""
    known = {"WEBHOOK_ALLOWED_IPS": OURS, "DASHBOARD_ENABLED": "true", "METRICS_TOKEN": METRICS_TOKEN}
    settings = settings_in(tmp_path_factory.mktemp("both"), database_url, redis_url)
    with ingress(settings, **known) as (first, _), ingress(settings, **known) as (second, _):
        yield first, second


@pytest.fixture
def provider(settings, database):
    with database.transaction() as connection:
        made = create_provider(connection, settings, "bank", ("SG",), None)
    return made["key_id"], made["secret"]


def call():
    number = next(_numbers)
    return {"messageId": f"OTP{number}", "customerPhone": f"+659{1000000 + number}", "message": "Your code is 4711."}


def test_the_sender_is_who_the_balancer_saw_whatever_it_claims(name, both, tmp_path):
    # What the ingress takes for the sender's address shows in whose webhooks it lets in.
    with balancer(name, tmp_path, both) as client:
        claims = [{}, {"X-Forwarded-For": OURS}, {"X-Forwarded-For": f"{OURS}, {OURS}"}, {"X-Forwarded-For": "8.8.8.8"}]
        told = {
            address: [
                client.post("/api/webhooks/vss", address, json=SUMMARY, headers=TOKEN | claim).status_code
                for claim in claims
            ]
            for address in (OURS, OTHERS)
        }

    assert told == {OURS: [200] * 4, OTHERS: [401] * 4}


def test_a_process_that_ends_while_requests_run_costs_no_request(name, settings, database, provider, tmp_path):
    with (
        ingress(settings, NUMBER_LIMITS="") as (first, ending),
        ingress(settings, NUMBER_LIMITS="") as (second, _),
        balancer(name, tmp_path, (first, second)) as client,
    ):
        with Senders(client, provider) as senders:
            until(lambda: senders.answered > 40)
            ending.terminate()
            ending.wait(30)
            after = senders.answered
            until(lambda: senders.answered > after + 40)

        assert ending.returncode == 0

    assert senders.failed == []
    stored = database.run(lambda c: c.exec_driver_sql("SELECT count(*) FROM messages").scalar_one())
    assert stored == senders.answered


def test_while_postgres_is_away_webhooks_are_kept_and_everything_else_hears_of_it(name, settings, provider, tmp_path):
    away = {"DATABASE_URL": "postgresql://ringpost@127.0.0.1:1/x"}
    with (
        ingress(settings, **away) as (first, _),
        ingress(settings, **away) as (second, _),
        balancer(name, tmp_path, (first, second)) as client,
    ):
        if name == "haproxy":  # which asks whether processes are ready
            until(lambda: "ringpost/two is DOWN" in (tmp_path / "log").read_text())
        kept = [client.post("/api/webhooks/vss", json=SUMMARY | {"n": n}, headers=TOKEN) for n in range(4)]
        refused = [client.post("/api/make-call", json=call(), auth=provider) for _ in range(2)]

    assert [reply.status_code for reply in kept] == [200] * 4
    assert [(reply.status_code, reply.json()["code"]) for reply in refused] == [(503, "unavailable")] * 2
    assert all(int(reply.headers["Retry-After"]) > 0 for reply in refused)
    assert sum(len(file.read_text().splitlines()) for file in settings.spool_dir.iterdir()) == 4


def test_the_dashboard_is_served_as_over_https_and_metrics_to_nobody(name, both, tmp_path):
    with balancer(name, tmp_path, both) as client:
        forged = client.get("/dashboard/sign-in", headers={"X-Forwarded-Proto": "http"})
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})

    assert forged.status_code == 200
    assert "Strict-Transport-Security" in forged.headers  # said only where the browser's side is known to be https
    assert metrics.status_code in (403, 404)
    assert "ringpost_" not in metrics.text


def test_one_address_has_no_more_than_50_requests_at_once_but_8x8_s_webhooks_pass(name, both, tmp_path):
    with balancer(name, tmp_path, both) as client, client.unfinished(50, OURS):
        until(lambda: client.post("/api/make-call", OURS, json=call()).status_code == 429)
        theirs = client.post("/api/webhooks/vss", OURS, json=SUMMARY, headers=TOKEN)
        others = client.post("/api/make-call", OTHERS, json=call())

    assert (theirs.status_code, others.status_code) == (200, 401)


def test_a_post_that_was_not_answered_is_not_sent_again(name, tmp_path):
    with (
        Silent() as first,
        Silent() as second,
        balancer(name, tmp_path, (first.server_port, second.server_port)) as client,
    ):
        reply = client.post("/api/make-call", json=call())

    assert reply.status_code == 502
    assert first.posts + second.posts == 1


class Silent(ThreadingHTTPServer):
    """A server that is well, and closes the connection of whoever posts."""

    def __init__(self):
        self.posts = 0
        super().__init__(("127.0.0.1", 0), _SilentHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _SilentHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        self.server.posts += 1
        self.close_connection = True

    def log_message(self, *_):
        """Nothing."""


class Senders:
    """Providers that send one message after the other, each on a connection of its own that is kept."""

    def __init__(self, client, key):
        self._client, self._key = client, key
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]
        self.answered, self.failed = 0, []
        self._counting = threading.Lock()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        with self._client.session() as session:
            while not self._is_over.is_set():
                try:
                    reply = self._client.post_on(session, "/api/make-call", json=call(), auth=self._key)
                except OSError as error:
                    self.failed.append(repr(error))
                    continue
                if reply.status_code != 200:
                    self.failed.append(reply.text)
                with self._counting:
                    self.answered += 1
