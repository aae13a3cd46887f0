"""What the documents show of code is run: whatever it is written in, it does the same."""

import base64
import hmac
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ingress.docs.pages import SENDERS, VERIFIERS
from shared import callback
from tests.architecture.source import ROOT

SNIPPETS = ROOT / "ingress" / "docs" / "snippets"
RUNNERS = {
    "py": [sys.executable],
    "mjs": ["node"],
    "go": ["go", "run"],
    "java": ["java"],
    "php": ["php"],
    "sh": ["sh"],
}
#: What a file needs beside what runs it.
NEEDS = {"verify.sh": "openssl", "send.sh": "curl"}
SECRETS = [callback.new_secret(bytes(range(at, at + 32))) for at in (0, 7)]
BODY = '{"type":"message.delivered","data":{"to":"+65****4567","metadata":{"name":"Zo\u00eb"}}}'.encode()


def run(name, environment, body=b""):
    """Exit code and output of a snippet; skipped where nothing can run it."""
    command = RUNNERS[name.rpartition(".")[2]]
    for needed in (command[0], NEEDS.get(name, command[0])):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not here")
    known = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [*command, str(SNIPPETS / name)],
        check=False,
        env=known | environment,
        input=body,
        capture_output=True,
        timeout=100,
    )
    # `go run` says for itself how what it ran ended.
    return done.returncode, (done.stdout + done.stderr).decode().removesuffix("exit status 1\n")


def signed(secrets=SECRETS[:1], age_s=0):
    """Headers as we send them, in a snippet's environment."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    headers = callback.headers("evt_1", BODY, secrets=secrets, at=at)
    return {"WEBHOOK_SECRET": SECRETS[0]} | {
        f"WEBHOOK_{name.upper()}": headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")
    }


def resigned(secret, timestamp):
    """A signature over any timestamp, as whoever knows the secret could make it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, f"evt_1.{timestamp}.".encode() + BODY, "sha256")).decode()


def odd_time(timestamp):
    return signed() | {"WEBHOOK_TIMESTAMP": timestamp, "WEBHOOK_SIGNATURE": resigned(SECRETS[0], timestamp)}


@pytest.mark.parametrize("snippet", VERIFIERS, ids=lambda one: one.name)
def test_a_receiver_of_the_documents_tells_the_genuine_from_the_forged(snippet):
    good = signed()
    cases = {
        "good": (0, good, BODY),
        "rotated, ours is the old one": (0, signed(SECRETS[::-1]), BODY),
        "rotated, ours is the new one": (0, signed(SECRETS), BODY),
        "four minutes old": (0, signed(age_s=240), BODY),
        "four minutes early": (0, signed(age_s=-240), BODY),
        "another's secret": (1, signed(SECRETS[1:]), BODY),
        "changed body": (1, good, BODY + b" "),
        "changed id": (1, good | {"WEBHOOK_ID": "evt_2"}, BODY),
        "changed time": (1, good | {"WEBHOOK_TIMESTAMP": str(int(time.time()) - 1)}, BODY),
        "cut signature": (1, good | {"WEBHOOK_SIGNATURE": good["WEBHOOK_SIGNATURE"][:-2]}, BODY),
        "no signature": (1, good | {"WEBHOOK_SIGNATURE": ""}, BODY),
        "other version": (1, good | {"WEBHOOK_SIGNATURE": "v2" + good["WEBHOOK_SIGNATURE"][2:]}, BODY),
        "six minutes old": (1, signed(age_s=360), BODY),
        "six minutes early": (1, signed(age_s=-360), BODY),
        "no time": (1, odd_time(""), BODY),
        "time that is no number": (1, odd_time("soon"), BODY),
    }
    if snippet.name.endswith((".java", ".go")):  # each run compiles it
        cases = {
            name: cases[name]
            for name in ("good", "rotated, ours is the old one", "another's secret", "six minutes old")
        }

    told = {name: (run(snippet.name, environment, body), code) for name, (code, environment, body) in cases.items()}

    assert {name: said for name, (said, code) in told.items() if said != (code, "")} == {}


class _Taker(BaseHTTPRequestHandler):
    """Notes what comes; answers 503 first where the server is told to."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers["Authorization"], json.loads(body)))
        status = self.server.answers.pop(0) if self.server.answers else 200
        answer = json.dumps({"success": status == 200, "status": status}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def taker():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Taker) as server:
        server.seen, server.answers = [], []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("snippet", SENDERS, ids=lambda one: one.name)
def test_a_sender_of_the_documents_places_a_call(snippet, taker):
    environment = {"RINGPOST": f"http://127.0.0.1:{taker.server_port}", "KEY": "key_1:secret"}

    code, said = run(snippet.name, environment)

    assert (code, json.loads(said)) == (0, {"success": True, "status": 200})
    [(path, login, call)] = taker.seen
    assert path == "/api/make-call"
    assert login == "Basic " + base64.b64encode(b"key_1:secret").decode()
    assert call.pop("messageId").startswith("login-")
    assert call == {"customerPhone": "+6581234567", "message": "Your Acme code is {code}.", "code": "482915"}


@pytest.mark.parametrize("name", ["send.py", "send.mjs"])
def test_what_was_overloaded_is_sent_again_as_it_was(name, taker):
    taker.answers = [503, 429]

    code, _ = run(name, {"RINGPOST": f"http://127.0.0.1:{taker.server_port}", "KEY": "key_1:secret"})

    assert code == 0
    assert len(taker.seen) == 3
    assert taker.seen[0] == taker.seen[1] == taker.seen[2]


@pytest.mark.parametrize("snippet", SENDERS, ids=lambda one: one.name)
def test_a_refusal_is_shown_and_is_no_success(snippet, taker):
    taker.answers = [422]

    code, said = run(snippet.name, {"RINGPOST": f"http://127.0.0.1:{taker.server_port}", "KEY": "key_1:secret"})

    assert code != 0
    assert '"status":422' in said.replace(" ", "")
    assert len(taker.seen) == 1
