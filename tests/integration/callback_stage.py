"""Callbacks that are due, endpoints that take them, and the step that sends them."""

import secrets
import threading
from contextlib import ExitStack, contextmanager

from sqlalchemy import text

from deploy.receiver import ANY_PATH, Receiver
from shared.callback import new_secret
from shared.db.queries import callbacks as queries
from shared.db.queries import providers
from shared.services import build_services
from workers.deliver_callbacks import DeliverCallbacks

SHARES = queries.Shares(wanted=256, endpoint=64, failing=32, failing_endpoint=2)
SECRET = new_secret(bytes(range(32)))

_FILL = text("""
WITH numbers AS (
  SELECT n, lpad(n::text, 8, '0') AS place FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n
), stored AS (
  INSERT INTO messages (id, provider_id, message_id, fingerprint, lane, status, destination_key, destination_masked,
    country, source, voice, speed, plays, seconds_per_play, interruptible, max_attempts, spare_attempts,
    redial_unknown, metadata, warnings, deadline, attempt, finished_at)
  SELECT 'msg_' || :endpoint_id || place, :provider_id, 'OTP' || place, 'f', 'otp', 'delivered', 'd', '+65****4567',
    'SG', '+6531580001', 'en-US-BenjaminRUS', 1, 2, 6.5, false, 2, 1, false, '{"order": "7"}', '[]', now(), 1, now()
  FROM numbers RETURNING id
), told AS (
  INSERT INTO feed_events (event_id, provider_id, sequence, message_id, type, status, facts, occurred_at)
  SELECT 'evt_' || :endpoint_id || place, :provider_id, n, 'msg_' || :endpoint_id || place, 'message.delivered',
    'delivered', CAST(:facts AS jsonb), '2026-10-05T09:12:36.5Z' FROM numbers RETURNING event_id
)
INSERT INTO callbacks (callback_id, event_id, endpoint_id, message_id, state, due_at)
SELECT 'cb_' || :endpoint_id || place, 'evt_' || :endpoint_id || place, :endpoint_id,
  'msg_' || :endpoint_id || place, 'due', now() + CAST(:due_in_s AS float8) * interval '1 second' FROM numbers
RETURNING callback_id
""")
_FACTS = (
    '{"attempts": 1, "sessionId": "sess-1", "answeredAt": "2026-10-05T09:12:10.000Z", "durationSeconds": 26,'
    ' "endedAt": "2026-10-05T09:12:36.000Z", "heard": "full", "keyPressed": null, "quality": {"mos": 4.4}}'
)


class Stage:
    """A receiver, and one process's worth of the step; more of both on request."""

    def __init__(self, settings, stack):
        self._stack = stack
        self.settings = settings.model_copy(
            update={
                "callback_allowed_networks": ("127.0.0.0/8",),
                "callback_timeout_seconds": 1.0,
                "callback_schedule": ("60", "60"),
                "log_level": "ERROR",
            }
        )
        self.receiver = stack.enter_context(Receiver({ANY_PATH: [SECRET]}))
        self.services = self.make_services()
        self.database = self.services.database

    def hang_up(self):
        """End the receiver, and every request that hangs there."""
        self.receiver.__exit__(None, None, None)

    def make_services(self, **changes):
        """Another process's services, with other settings."""
        services = build_services(self.settings.model_copy(update=changes), application="tests")
        self._stack.callback(services.close)
        return services

    def step(self, **changes):
        """The step of one process; it is drained at the end."""
        step = DeliverCallbacks(self.make_services(**changes) if changes else self.services)
        self._stack.callback(step.drain)
        return step

    def in_background(self, work):
        """Run *work* in a thread that is waited for at the end."""
        thread = threading.Thread(target=work)
        thread.start()
        self._stack.callback(thread.join)
        return thread

    def endpoint(self, path="/callbacks", *, url=None):
        """A new provider's endpoint at the receiver; its id."""
        number = secrets.token_hex(4)
        endpoint_id = f"ep_{number}"
        with self.database.transaction() as connection:
            providers.create_provider(connection, f"prov_{number}", number, None)
            providers.create_endpoint(
                connection,
                endpoint_id,
                f"prov_{number}",
                url=url or f"{self.receiver.url}{path}",
                sealed_secret=self.services.sealer.seal(SECRET.encode(), row=endpoint_id),
            )
        return endpoint_id

    def callbacks(self, endpoint_id, count=1, *, due_in_s=-1, first=1, facts=_FACTS):
        """New due callbacks of *endpoint_id*, their ids in the order of their events."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                _FILL,
                {
                    "first": first,
                    "last": first + count - 1,
                    "endpoint_id": endpoint_id,
                    "provider_id": endpoint_id.replace("ep_", "prov_"),
                    "due_in_s": due_in_s,
                    "facts": facts,
                },
            )
            return sorted(row.callback_id for row in rows)

    def deliver(self, **changes):
        """One whole run by one process: send until nothing is due, and record it."""
        step = self.step(**changes)
        step()
        step.senders.wait_for_free(step.senders.limit, timeout_s=20)
        step.drain()

    def deliver_again(self, times=1):
        """Let the waits pass, and deliver."""
        for _ in range(times):
            self.change("UPDATE callbacks SET due_at = now() WHERE state = 'due'")
            self.deliver()

    def row(self, table, callback_id):
        """One row of *table*, by callback id."""
        return self.rows(f"SELECT * FROM {table} WHERE callback_id = :id", id=callback_id)[0]

    def attempts(self, callback_id):
        """The delivery attempts of a callback, in order."""
        return self.rows("SELECT * FROM delivery_attempts WHERE callback_id = :id ORDER BY number", id=callback_id)

    def rows(self, sql, **binds):
        with self.database.statement() as connection:
            return connection.execute(text(sql), binds).all()

    def change(self, sql, **binds):
        with self.database.statement() as connection:
            return connection.execute(text(sql), binds).rowcount

    def claim(self, shares=SHARES, *, lease_s=30, busy=()):
        """What another worker would take now."""
        with self.database.statement() as connection:
            return queries.claim(connection, shares, lease_s=lease_s, busy_endpoints=list(busy))


@contextmanager
def stages(settings):
    """A stage; everything on it is closed at the end."""
    with ExitStack() as stack:
        yield Stage(settings, stack)
