"""One process that is all of them, ingress and workers, between 8x8 and a provider's receiver."""

import json
from contextlib import contextmanager
from dataclasses import replace

from deploy.receiver import ANY_PATH, Receiver
from ingress.app import create_app
from ingress.site import build_site
from shared.callback import new_secret
from shared.lifecycle import Lane
from tests.integration import ingress_stage
from tests.integration.ingress_stage import Customer
from tests.integration.worker_stage import staged, vca
from workers.deliver_callbacks import DeliverCallbacks
from workers.place_calls import PlaceCalls
from workers.pretend_calls import PretendCalls
from workers.reconcile_events import ReconcileEvents

SECRET = new_secret(bytes(range(32)))
TOKEN = "test-webhook-token"


class Whole:
    """A message's way, step by step, as the processes would take it."""

    def __init__(self, stage, receiver, tracer):
        self.stage, self.receiver = stage, receiver
        self.services = stage.services = replace(stage.services, tracer=tracer)
        self.site = build_site(self.services)
        self.app = create_app(self.site)
        self.http = self.app.test_client()
        self.customer = Customer(self.services.database)
        sealed = self.services.sealer.seal(SECRET.encode(), row=self.customer.endpoint_id)
        self.url = f"{receiver.url}/callbacks"
        stage.execute("UPDATE endpoints SET url = :url, secret = :secret", url=self.url, secret=sealed)

    def close(self):
        ingress_stage.close(self.site)

    def submit(self, number="+6581234567", headers=None, **members):
        """Send one call that must be taken; its message's id."""
        body = ingress_stage.call(customerPhone=number, **members)
        reply = self.http.post("/api/make-call", json=body, headers=self.customer.headers | (headers or {}))
        assert reply.status_code == 200, reply.text
        return reply.get_json()["data"]["id"]

    def dial(self, lane=Lane.OTP):
        self.stage.execute("UPDATE messages SET due_at = now() WHERE status = 'queued'")
        self.stage.dial(lane, PlaceCalls(self.services))

    def pretend(self):
        PretendCalls(self.services)()

    def press(self, id_, key="5"):
        """8x8 asks what to do after a key press; what it is told."""
        row = self.stage.message(id_)
        destination = self.stage.simulator.ledger.accepted[-1].destination
        return self.webhook("vca", vca(session_id=row.session_id, destination=destination, event_data=key))

    def end(self, id_, status="COMPLETED", **members):
        """8x8 tells how the newest call ended."""
        attempt = self.stage.attempts(id_)[-1]
        self.stage._destinations[id_] = next(
            call.destination
            for call in self.stage.simulator.ledger.accepted
            if call.client_request_id == attempt.attempt_id
        )
        return self.webhook("vss", self.stage.summary(id_, status, **members))

    def webhook(self, kind, body):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(f"/api/webhooks/{kind}", data=raw, headers={"Authorization": TOKEN})

    def reconcile(self, *, hands_over=False):
        """Step 4; where it hands over, the callbacks go out from there."""
        callbacks = DeliverCallbacks(self.services) if hands_over else None
        ReconcileEvents(self.services, callbacks)()
        if callbacks is not None:
            _finish(callbacks)

    def call_back(self):
        self.stage.execute("UPDATE callbacks SET due_at = now() WHERE state = 'due'")
        callbacks = DeliverCallbacks(self.services)
        callbacks()
        _finish(callbacks)


def _finish(callbacks):
    """Let what is in hand be sent and recorded."""
    callbacks.senders.wait_for_free(callbacks.senders.limit, timeout_s=20)
    callbacks.drain()


@contextmanager
def whole(settings, *, tracer=None, **changes):
    """All steps over one database, with *changes* of the settings; everything is closed at the end."""
    known = {"number_limits": "", "callback_allowed_networks": ("127.0.0.0/8",), "callback_timeout_seconds": 2.0}
    with (
        Receiver({ANY_PATH: [SECRET]}) as receiver,
        staged(settings, simulator={"outcomes_by_suffix": False}, **(known | changes)) as stage,
    ):
        steps = Whole(stage, receiver, tracer)
        try:
            yield steps
        finally:
            steps.close()
