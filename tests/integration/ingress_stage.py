"""An ingress with a provider, driven through Flask's test client: what tests of its routes stand on."""

import hashlib
import itertools
from base64 import b64encode
from contextlib import contextmanager

from sqlalchemy import text

from ingress.app import create_app
from ingress.site import build_site
from shared.db.queries import providers
from shared.ids import new_id
from shared.services import build_services
from shared.settings import Settings

WEBHOOK_TOKEN = "test-webhook-token"
CALLBACK_URL = "https://shop.example/callback"
SECRET = "a secret of forty-three characters, or so"
_numbers = itertools.count(1)


def call(**members):
    """A make-call body with a messageId of its own."""
    return {
        "messageId": f"OTP{next(_numbers)}",
        "customerPhone": "+6581234567",
        "message": "Your code is 4711.",
    } | members


def basic(user, password):
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


class Customer:
    """A provider with one key and one endpoint."""

    def __init__(self, database):
        self.provider_id, self.key_id, self.endpoint_id = new_id("prov"), new_id("key"), new_id("ep")
        self.headers = basic(self.key_id, SECRET)
        digest = hashlib.sha256(SECRET.encode()).digest()

        def create(connection):
            providers.create_provider(connection, self.provider_id, self.provider_id, None)
            providers.create_key(connection, self.key_id, self.provider_id, digest)
            providers.create_endpoint(
                connection, self.endpoint_id, self.provider_id, url=CALLBACK_URL, sealed_secret=b"sealed"
            )

        database.run(create)


def submit(stage, customer, **changes):
    """Store one message of *customer*'s, and return its id."""
    reply = stage.http.post("/api/make-call", json=call(**changes), headers=customer.headers)
    assert reply.status_code == 200, reply.text
    return reply.get_json()["data"]["id"]


def close(site):
    """End the threads of an ingress."""
    caches = site.providers, site.voices, site.forecast, site.intake.switches, site.guards
    for part in (*caches, site.feeds, site.spool, site.messages, site.events):
        part.close()


class Stage:
    """The ingress and its database."""

    def __init__(self, settings):
        self.services = build_services(settings, application="tests", redis_timeout_s=0.2)
        self.site = build_site(self.services)
        self.http = create_app(self.site).test_client()
        self.customer = Customer(self.services.database)

    def close(self):
        close(self.site)
        self.services.close()

    def make_call(self, body, headers=None):
        return self.http.post("/api/make-call", json=body, headers=self.customer.headers | (headers or {}))

    def make_calls(self, *bodies):
        return self.http.post("/api/make-calls", json={"calls": list(bodies)}, headers=self.customer.headers)

    def send(self, raw, path="/api/make-call", **headers):
        """Post raw bytes as JSON."""
        return self.http.post(path, data=raw, headers=self.customer.headers | headers, content_type="application/json")

    def webhook(self, kind, raw, **headers):
        return self.http.post(f"/api/webhooks/{kind}", data=raw, headers={"Authorization": WEBHOOK_TOKEN} | headers)

    def rows(self, statement, **values):
        with self.services.database.statement() as connection:
            return connection.execute(text(statement), values).all()

    def count(self, table):
        return self.rows(f"SELECT count(*) FROM {table}")[0][0]

    def row(self, message_id):
        return self.rows("SELECT * FROM messages WHERE message_id = :id", id=message_id)[0]


@contextmanager
def staged(database_url, redis_url, data_dir, **settings):
    """A stage with settings of the test's choice; it is closed at the end."""
    known = {
        "_env_file": None,
        "eight_x_eight_api_key": "test-api-key",
        "eight_x_eight_subaccount_id": "test_voice",
        "outbound_phone_number": "+6531580001",
        "webhook_auth_token": WEBHOOK_TOKEN,
        "ringpost_data_key": b64encode(bytes(range(32))).decode(),
        "ringpost_data_dir": data_dir,
        "database_url": database_url,
        "redis_url": redis_url,
        "number_limits": "",  # one number stands for all
        "auth_failures_per_minute": 100_000,
    }
    stage = Stage(Settings.load(**known | settings))
    try:
        yield stage
    finally:
        stage.close()


def is_problem(reply, status, code):
    """Whether the reply is a problem as the contract writes it."""
    body = reply.get_json()
    assert (reply.status_code, body["code"]) == (status, code), body
    assert reply.content_type == "application/problem+json"
    assert set(body) - {"retryAfterSeconds", "messageStatus"} == {
        "success", "error", "details", "type", "title", "status", "code", "errors", "requestId"
    }  # fmt: skip
    assert str(body.get("retryAfterSeconds", "")) == reply.headers.get("Retry-After", "")
    assert body["success"] is False
    assert body["status"] == status
    assert body["error"] == body["title"]
    assert body["details"]
    assert body["requestId"] == reply.headers["X-Request-Id"]
    return True


def members(reply):
    """The members that a 422 names."""
    return [error["member"] for error in reply.get_json()["errors"]]
