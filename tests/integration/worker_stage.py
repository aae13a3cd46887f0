"""What tests of the worker steps stand on: real services, the simulator as 8x8, messages that came in already."""

import itertools
import json
import re
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from deploy.receiver import Receiver
from deploy.simulator.outcomes import OUTCOMES, SUFFIX_DIGITS
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings
from shared.db.queries import accept, inbox, providers
from shared.db.tables import METADATA
from shared.ids import new_id
from shared.jobs import Doorbell
from shared.lifecycle import FINAL_EVENT_TYPES, Lane
from shared.services import build_services
from shared.voice_api.events import glance
from tests.integration.emptying import empty
from workers.place_calls import PlaceCalls
from workers.reconcile_events import ReconcileEvents
from workers.sweep import sweep_once

SOURCE = "+6531580001"
PROVIDER = "prov_test"
#: What a stage begins without, those that refer to others first.
_TABLES = [table.name for table in reversed(METADATA.sorted_tables) if table.name not in {"audit_log", "servers"}]
#: Phones that answer: no suffix by which the simulator plays something else.
_numbers = (number for number in itertools.count(230000) if f"{number}"[-SUFFIX_DIGITS:] not in OUTCOMES)


class RecordingDoorbell(Doorbell):
    """Notes the rings instead of sending them to Redis."""

    def __init__(self, broker):
        super().__init__(broker)
        self.asked = []

    def ring(self, job):
        self.asked.append(job)


def _nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


class Stage:
    """Services of one process over a database of the module, and 8x8 as the simulator plays it."""

    def __init__(self, settings, simulator, receiver, stack):
        self.settings, self.simulator, self.receiver, self._stack = settings, simulator, receiver, stack
        self.services = self.new_services()
        self.database = self.services.database
        self.kept = 0
        self._destinations = {}
        self.empty()

    def empty(self):
        """Begin anew, with one provider."""
        with self.database.transaction() as connection:
            empty(connection, _TABLES)
        self.database.run(lambda connection: providers.create_provider(connection, PROVIDER, "test", None))

    def new_services(self, **changes):
        services = build_services(self.settings.model_copy(update=changes), application="tests", pool_size=8)
        services.doorbell.close()
        services = replace(services, doorbell=RecordingDoorbell(services.broker))
        self._stack.callback(services.close)
        return services

    def dialer(self, services=None, **changes):
        """A step 2 of its own, as another process would have it; drained at the end."""
        step = PlaceCalls(services or (self.new_services(**changes) if changes else self.services))
        self._stack.callback(step.drain)
        return step

    def dial(self, lane=Lane.OTP, step=None):
        """Dial what is due and wait until it is recorded."""
        step = step or PlaceCalls(self.services)
        step(lane)
        step.drain()

    def reconcile(self):
        ReconcileEvents(self.services)()

    def sweep(self):
        sweep_once(self.services, "test")

    @property
    def rung(self):
        return set(self.services.doorbell.asked)

    def execute(self, sql, **values):
        """Run a statement; its rows, if it gives any."""
        result = None
        with self.database.transaction() as connection:
            result = connection.execute(text(sql), values)
            return result.all() if result.returns_rows else result.rowcount

    def new_message(self, destination=None, *, lane=Lane.OTP, source=SOURCE, ttl_s=600, **members):
        """A message as the ingress would store it."""
        id_ = new_id("msg")
        destination = destination or f"+6581{next(_numbers)}"
        self._destinations[id_] = destination
        content = json.dumps({"destination": destination, "text": members.pop("spoken", "Your code is 4, 0, 7.")})
        sealer = self.services.sealer
        values = {
            "provider_id": PROVIDER,
            "message_id": id_,
            "fingerprint": b"f" * 16,
            "lane": lane.value,
            "content": sealer.seal(content.encode(), row=id_),
            "destination_key": sealer.destination_key(destination),
            "destination_masked": "+65****",
            "country": "SG",
            "source": source,
            "voice": "en-US-BenjaminRUS",
            "speed": 1.0,
            "plays": 2,
            "seconds_per_play": 4.0,
            "interruptible": False,
            "max_attempts": 1,
            "spare_attempts": 0,
            "redial_unknown": False,
            "endpoint_id": None,
            "metadata": {},
            "warnings": [],
            "scheduled_at": None,
            "expires_at": None,
            "ttl_s": ttl_s,
        }
        return accept.NewMessage(**({"id": id_} | values | members))

    def keep(self, destination=None, **members):
        """Store one message; its id."""
        return self.keep_all([self.new_message(destination, **members)])[0]

    def keep_all(self, messages):
        self.database.run(lambda connection: accept.store(connection, messages))
        return [message.id for message in messages]

    def endpoint(self, *, event_types=FINAL_EVENT_TYPES, provider_id=PROVIDER, disabled=False):
        id_ = new_id("ep")
        self.database.run(
            lambda connection: providers.create_endpoint(
                connection,
                id_,
                provider_id,
                url=f"https://example.com/{id_}",
                sealed_secret=b"sealed",
                event_types=event_types,
            )
        )
        if disabled:
            self.execute("UPDATE endpoints SET disabled_at = now() WHERE endpoint_id = :id", id=id_)
        return id_

    def plan(self, prepared):
        """The nodes of the plan that a worker's connection makes of a statement, for whatever values."""
        with self.database.engine.connect() as connection:
            ((name, sql),) = prepared._prepare.items()
            connection.exec_driver_sql(sql)
            nulls = ", ".join(["NULL"] * len(set(re.findall(r"[$]\d+", sql))))
            explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE {name}({nulls})").scalar_one()
            connection.exec_driver_sql("DEALLOCATE ALL")
        return list(_nodes(explained[0]["Plan"]))

    def synchronous_commit(self):
        """What a new connection commits by."""
        return self.execute("SHOW synchronous_commit")[0].synchronous_commit

    def wait_for_a_lock(self):
        """Until somebody waits for a row that another transaction holds."""
        while not self.execute("SELECT FROM pg_locks WHERE NOT granted"):
            pass

    def message(self, id_):
        return self.execute("SELECT * FROM messages WHERE id = :id", id=id_)[0]

    def state(self, id_):
        row = self.message(id_)
        return row.status, row.reason

    def attempts(self, id_):
        return self.execute("SELECT * FROM dial_attempts WHERE message_id = :id ORDER BY number", id=id_)

    def events(self, id_):
        return self.execute("SELECT * FROM feed_events WHERE message_id = :id ORDER BY sequence", id=id_)

    def callbacks(self, id_):
        return self.execute("SELECT * FROM callbacks WHERE message_id = :id ORDER BY created_at", id=id_)

    def inbox_results(self):
        return [row.result for row in self.execute("SELECT result FROM webhook_inbox ORDER BY inbox_id")]

    def keep_webhook(self, *bodies):
        """Keep webhook bodies (bytes, or what becomes JSON) as step 3 does."""
        raws = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
        seen = [glance(raw) for raw in raws]
        events = [
            inbox.RawEvent(one.dedupe_key, self.services.sealer.seal(raw, row=one.dedupe_key), one.session_id)
            for raw, one in zip(raws, seen, strict=True)
        ]
        self.database.run(lambda connection: inbox.keep(connection, events))

    def keep_received(self, count=1):
        """Wait for *count* more webhooks from the simulator and keep them."""
        wanted = self.kept + count
        received = self.receiver.wait_for(lambda all_: len(all_) >= wanted)
        self.keep_webhook(*(one.body for one in received[self.kept :]))
        self.kept = len(received)

    def report(self, id_, status="COMPLETED", **members):
        """Keep the summary of a message's newest attempt, and reconcile it."""
        self.keep_webhook(self.summary(id_, status, **members))
        self.reconcile()

    def summary(self, id_, status="COMPLETED", *, echo=False, number=None, **members):
        """The VSS body of a message's newest (or *number*-th) attempt."""
        attempts = self.attempts(id_)
        attempt = attempts[-1 if number is None else number - 1]
        destination = self._destinations[id_]
        values = {"session_id": attempt.session_id, "destination": destination, "source": attempt.source} | members
        if echo:
            values["client_request_id"] = attempt.attempt_id
        return vss(status, **values)

    def place(self, id_, session_id=None):
        """As if 8x8 had taken the message's callflow; its attempt's id."""
        session_id = session_id or f"session-{id_}"
        attempt_id = f"att_{id_[4:]}_1"
        self.execute(
            "INSERT INTO dial_attempts (attempt_id, message_id, number, claim_id, subaccount_id, source,"
            " destination_key, valid_until, disposition, session_id)"
            " SELECT :attempt, id, 1, 'claim_test', 'test_voice', source, destination_key, now() + interval '60 s',"
            " 'created', :session FROM messages WHERE id = :id",
            attempt=attempt_id,
            session=session_id,
            id=id_,
        )
        self.execute(
            "UPDATE messages SET status = 'placed', attempt = 1, attempt_id = :attempt, session_id = :session,"
            " due_at = now() + interval '300 s', busy_destination = destination_key,"
            " busy_until = now() + interval '70 s' WHERE id = :id",
            attempt=attempt_id,
            session=session_id,
            id=id_,
        )
        return attempt_id


def vss(status="COMPLETED", *, session_id, destination, source=SOURCE, **members):
    """A session summary; an answered one unless *connected_s* is None or the status says otherwise."""
    start = datetime(2026, 10, 5, 9, 12, 9, tzinfo=UTC)
    connected_s = members.get("connected_s", 26 if status.startswith("COMPLETED") else None)
    leg = {
        "callId": f"call-{session_id}",
        "callDirection": members.get("direction", "OUTBOUND"),
        "callType": "PSTN",
        "initiatedTimestamp": _time(start),
        "disconnectedTimestamp": _time(start + timedelta(seconds=12 + (connected_s or 0))),
        "source": source,
        "destination": destination,
        "sourceCountryCode": "SG",
        "destinationCountryCode": "SG",
        "callStatus": "COMPLETED" if connected_s is not None else status,
        "callDuration": members.get("duration", connected_s or 0),
        "callQuality": {"mos": 4.4, "packetLossRate": 0.001, "jitter": 18},
    }
    if connected_s is not None:
        leg["connectedTimestamp"] = _time(start + timedelta(seconds=12))
    payload = {
        "sessionId": session_id,
        "subAccountId": members.get("subaccount_id", "test_voice"),
        "sessionStatus": status,
        "startTime": _time(start),
        "endTime": _time(start + timedelta(seconds=50)),
        "lastAction": "HANGUP",
        "callCount": 1,
        "details": {"callA": leg},
    }
    if "client_request_id" in members:
        payload["clientRequestId"] = members["client_request_id"]
    if "error_code" in members:
        payload["errorDetails"] = {"errorMsg": "as documented", "errorCode": members["error_code"]}
    return {"payload": payload, "namespace": "VOICE", "eventType": "SESSION_SUMMARY", "description": "Summary"}


def vca(*, session_id, destination, event_data=None, source=SOURCE, direction="OUTBOUND", event_id="event-1"):
    """An action request."""
    payload = {
        "eventId": event_id,
        "callId": f"call-{session_id}",
        "sessionId": session_id,
        "subAccountId": "test_voice",
        "callStatus": "ACTION_COMPLETED",
        "callDirection": direction,
        "source": source,
        "destination": destination,
        "eventData": event_data,
        "timestamp": "2026-10-05T09:12:30.000Z",
    }
    return {"payload": payload, "namespace": "VOICE", "eventType": "CALL_ACTION", "description": "Action request"}


def _time(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def staged(settings, *, simulator=None, **changes):
    """A stage with *changes* of the settings and of the simulator's; everything is closed at the end."""
    with ExitStack() as stack:
        played = {"api_key": "test-api-key", "subaccount_id": "test_voice", "time_scale": 0.001} | (simulator or {})
        eight = stack.enter_context(Simulator(SimulatorSettings(**played)))
        receiver = stack.enter_context(Receiver())
        eight.register_webhook("VSS", f"{receiver.url}/vss")
        eight.register_webhook("VCA", f"{receiver.url}/vca")
        fast = {
            "eight_x_eight_base_url": eight.url,
            "eight_x_eight_export_url": eight.url,
            "dials_per_second": 2000.0,
            "dial_timeout_seconds": 2.0,
        }
        yield Stage(settings.model_copy(update=fast | changes), eight, receiver, stack)
