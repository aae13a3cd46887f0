"""The doorbell never makes anybody wait, whatever Redis does."""

import threading
import time

import pytest
import redis
from structlog.testing import capture_logs

from deploy.engines import Engines
from shared import jobs
from shared.broker import WakeUpBroker
from shared.jobs import Doorbell
from shared.lifecycle import Lane
from tests.integration.test_broker import black_hole

_QUEUE = f"dramatiq:{jobs.DELIVER_CALLBACKS.queue}"


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


def eventually(holds, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def test_a_ring_arrives_with_the_job_s_name_and_lane(client, redis_url):
    doorbell = Doorbell(WakeUpBroker(redis_url, timeout_s=1))

    doorbell.ring(jobs.PLACE_CALLS[Lane.OTP])
    doorbell.close()

    assert doorbell.rung == 1
    (body,) = client.hvals("dramatiq:place_calls.otp.msgs")
    assert b'"actor_name":"place_calls"' in body
    assert b'"args":["otp"]' in body


class HeldBroker(WakeUpBroker):
    """A broker that waits to be let go before each ring."""

    def __init__(self, url):
        super().__init__(url, timeout_s=1)
        self.entered, self.let_go, self.calls = threading.Event(), threading.Event(), []

    def ring(self, message):
        self.calls.append(message.queue_name)
        self.entered.set()
        self.let_go.wait(5)
        super().ring(message)


def test_rings_that_gather_while_one_is_on_its_way_become_one(client, redis_url):
    broker = HeldBroker(redis_url)
    doorbell = Doorbell(broker)

    doorbell.ring(jobs.DELIVER_CALLBACKS)
    broker.entered.wait(5)
    for _ in range(50):
        doorbell.ring(jobs.DELIVER_CALLBACKS)
        doorbell.ring(jobs.RECONCILE_EVENTS)
    broker.let_go.set()
    doorbell.close()

    assert broker.calls == ["deliver_callbacks", "deliver_callbacks", "reconcile_events"]


def test_ringing_costs_nothing_while_redis_is_a_black_hole():
    with black_hole() as url:
        doorbell = Doorbell(WakeUpBroker(url, timeout_s=0.2))

        started = time.monotonic()
        for _ in range(1000):
            doorbell.ring(jobs.DELIVER_CALLBACKS)
        took_s = time.monotonic() - started
        doorbell.close()

    assert took_s < 0.15
    assert doorbell.rung == 0


def test_after_a_failure_rings_are_dropped_at_once_and_said_once(monkeypatch):
    calls = []
    broker = WakeUpBroker("redis://127.0.0.1:1/0", timeout_s=0.2)
    original = broker.ring
    monkeypatch.setattr(broker, "ring", lambda message: (calls.append(message), original(message)))
    doorbell = Doorbell(broker)

    with capture_logs() as logs:
        for _ in range(20):
            doorbell.ring(jobs.DELIVER_CALLBACKS)
            assert eventually(lambda: not doorbell._wanted)
        doorbell.close()

    assert len(calls) == 1
    assert [(entry["event"], entry["job"]) for entry in logs] == [("ring_failed", "deliver_callbacks")]


def test_it_rings_again_once_redis_is_back(tmp_path):
    with Engines(tmp_path, database_url="postgresql://unused") as engines:
        doorbell = Doorbell(WakeUpBroker(engines.redis_url, timeout_s=0.2))
        engines.valkey.kill()
        doorbell.ring(jobs.DELIVER_CALLBACKS)
        engines.valkey.start()

        def ring():
            doorbell.ring(jobs.DELIVER_CALLBACKS)
            return doorbell.rung

        assert eventually(ring, timeout_s=6)
        with redis.Redis.from_url(engines.redis_url) as client:
            assert client.llen(_QUEUE) >= 1
        doorbell.close()


def test_closing_a_doorbell_rings_what_was_asked_for(client, redis_url):
    doorbell = Doorbell(WakeUpBroker(redis_url, timeout_s=1))

    doorbell.ring(jobs.DELIVER_CALLBACKS)
    doorbell.close()

    assert client.llen(_QUEUE) == 1
