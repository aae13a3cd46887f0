"""The broker on a real Valkey: a ring wakes at once, and nothing that Redis does costs a consumer its thread."""

import socket
import statistics
import threading
import time
from contextlib import ExitStack, contextmanager

import dramatiq
import pytest
import redis

from deploy.engines import Engines
from shared.broker import ConsumerWatch, WakeUpBroker, WakeUpConsumer

_QUEUE = "chores"
_RING = dramatiq.Message(queue_name=_QUEUE, actor_name="chore", args=(), kwargs={}, options={})


class Works:
    """A worker of one queue that notes when each ring was heard."""

    def __init__(self, url, *, middleware=(), threads=2, worker_timeout=1000, timeout_s=0.5):
        self.broker = WakeUpBroker(url, timeout_s=timeout_s, middleware=list(middleware))
        self.heard = []
        self.changed = threading.Condition()
        self.go_on = threading.Event()
        self.go_on.set()
        dramatiq.actor(self._chore, actor_name="chore", queue_name=_QUEUE, broker=self.broker)
        self.broker.declare_queue(_QUEUE)
        self.broker.doorbells[_QUEUE] = _RING
        self.worker = dramatiq.Worker(self.broker, worker_timeout=worker_timeout, worker_threads=threads)

    def _chore(self):
        with self.changed:
            self.heard.append(time.monotonic())
            self.changed.notify_all()
        self.go_on.wait(10)

    def hear(self, count, timeout_s=5.0):
        """Wait until *count* rings were heard."""
        with self.changed:
            return self.changed.wait_for(lambda: len(self.heard) >= count, timeout_s)

    @property
    def consumer_thread(self):
        return self.worker.consumers[_QUEUE]


@pytest.fixture
def works(redis_url):
    """Starts workers of one queue; they are stopped at the end."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    with ExitStack() as stack:
        yield lambda url=redis_url, **options: stack.enter_context(working(url, **options))


@contextmanager
def working(url, **options):
    works = Works(url, **options)
    works.worker.start()
    yield works
    works.go_on.set()
    works.worker.stop(timeout=5000)


@pytest.fixture
def engines_of_our_own(tmp_path):
    """A Valkey that a test may kill."""
    with Engines(tmp_path, database_url="postgresql://unused") as engines:
        yield engines


def asleep(works):
    """Wait until the consumer sleeps in Redis."""
    while not any(client["cmd"] == "blpop" for client in works.broker.client.client_list()):
        time.sleep(0.005)


def test_a_ring_wakes_a_sleeping_consumer_at_once(works, redis_url):
    ours = works()
    ringer = WakeUpBroker(redis_url, timeout_s=1)
    waits = []

    for number in range(1, 21):
        asleep(ours)
        rung_at = time.monotonic()
        ringer.ring(_RING)
        assert ours.hear(number)
        waits.append(ours.heard[-1] - rung_at)

    assert statistics.median(waits) < 0.05


def test_what_dramatiq_itself_enqueues_is_heard_at_once(works):
    ours = works()
    asleep(ours)

    ours.broker.enqueue(_RING)

    assert ours.hear(1, timeout_s=0.5)


def test_rings_while_the_worker_has_its_hands_full_are_not_lost(works):
    ours = works(threads=1, worker_timeout=200)
    ours.go_on.clear()

    ours.broker.ring(_RING)
    ours.hear(1)
    for _ in range(10):
        ours.broker.ring(_RING)
    ours.go_on.set()

    assert ours.hear(2, timeout_s=0.15)  # sooner than the next look of its own


def test_a_ring_that_is_not_heard_yet_speaks_for_all(redis_url, works):
    broker = WakeUpBroker(redis_url, timeout_s=1)

    needed = [broker.ring(_RING) for _ in range(40)]

    assert needed == [True] + [False] * 39
    assert broker.client.llen(f"dramatiq:{_QUEUE}") == 1


def test_a_worker_takes_no_more_rings_than_it_has_threads_for(works):
    busy = works(threads=1)
    busy.go_on.clear()
    busy.broker.ring(_RING)
    busy.hear(1)

    busy.broker.ring(_RING)

    assert not busy.hear(2, timeout_s=0.2)
    idle = works()
    assert idle.hear(1)


def test_our_ring_is_what_dramatiq_would_have_enqueued(redis_url, works):
    broker = WakeUpBroker(redis_url, timeout_s=1)
    keys = (f"dramatiq:{_QUEUE}", f"dramatiq:{_QUEUE}.msgs")

    broker.ring(_RING)
    ours = (broker.client.lrange(keys[0], 0, -1), broker.client.hgetall(keys[1]))
    broker.flush(_QUEUE)
    broker.enqueue(_RING)
    theirs = (broker.client.lrange(keys[0], 0, -1), broker.client.hgetall(keys[1]))

    for (id_,), bodies in (ours, theirs):
        assert list(bodies) == [id_]
        message = dramatiq.Message.decode(bodies[id_])
        assert message.asdict() | {"options": {}} == _RING.asdict() | {"options": {}}
        assert message.options == {"redis_message_id": id_.decode()}


def test_there_are_no_delay_queues(works):
    ours = works()

    assert ours.broker.delay_queues == set()
    assert set(ours.worker.consumers) == {_QUEUE}


def test_rings_leave_nothing_but_the_last_one_s_body_in_redis(works):
    ours = works(worker_timeout=100)

    for number in range(1, 6):
        ours.broker.ring(_RING)
        assert ours.hear(number)

    assert ours.broker.client.keys("dramatiq:*") == [f"dramatiq:{_QUEUE}.msgs".encode()]
    assert ours.broker.client.hlen(f"dramatiq:{_QUEUE}.msgs") == 1


def test_unstarted_rings_go_back_when_the_worker_stops(works, redis_url):
    ours = works(threads=1)
    ours.go_on.clear()
    ours.broker.ring(_RING)
    ours.hear(1)
    ours.broker.ring(_RING)

    threading.Timer(0.2, ours.go_on.set).start()
    ours.worker.stop(timeout=5000)

    left = WakeUpBroker(redis_url, timeout_s=1).client.llen(f"dramatiq:{_QUEUE}")
    assert len(ours.heard) + left == 2


def test_a_killed_and_wiped_redis_costs_no_thread_and_work_goes_on_without_it(works, engines_of_our_own):
    valkey = engines_of_our_own.valkey
    ours = works(valkey.url)
    asleep(ours)
    thread, ident = ours.consumer_thread, ours.consumer_thread.ident

    ours.go_on.clear()
    ours.broker.ring(_RING)
    ours.hear(1)
    valkey.wipe()
    ours.go_on.set()  # its ack finds nobody
    looked_without_redis = ours.hear(4)
    valkey.start()
    asleep(ours)
    before = len(ours.heard)
    ours.broker.ring(_RING)

    assert looked_without_redis
    assert ours.hear(before + 1)
    assert thread.is_alive()
    assert thread.ident == ident
    gaps = [later - earlier for earlier, later in zip(ours.heard[1:4], ours.heard[2:4], strict=False)]
    assert all(gap > 0.4 for gap in gaps)  # own looks come at a walking pace


def test_a_redis_that_accepts_and_never_answers_is_no_worse(works):
    with black_hole() as url:
        ours = works(url, timeout_s=0.2)

        assert ours.hear(3)

        assert ours.consumer_thread.is_alive()
        ours.worker.stop(timeout=5000)


def test_neither_an_ack_nor_a_return_needs_redis():
    with black_hole() as url:
        broker = WakeUpBroker(url, timeout_s=0.1)
        consumer = WakeUpConsumer(broker, _QUEUE, prefetch=2, timeout=100)
        message = dramatiq.broker.MessageProxy(_RING)
        consumer.queued_message_ids.add(message.message_id)

        consumer.ack(message)
        consumer.nack(message)
        consumer.requeue([message])

        assert consumer.queued_message_ids == set()
        consumer.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_death_of_a_consumer_thread_is_noticed(works, monkeypatch):
    died = threading.Event()
    ours = works(middleware=[ConsumerWatch(on_death=died.set)])
    asleep(ours)
    assert not died.is_set()

    def break_down(*_):
        raise SystemExit

    monkeypatch.setattr(WakeUpConsumer, "__next__", break_down)

    assert died.wait(5)
    ours.consumer_thread.join(5)


def test_a_worker_that_stops_on_purpose_is_not_taken_for_dead(works):
    died = threading.Event()
    ours = works(middleware=[ConsumerWatch(on_death=died.set)])

    ours.worker.stop(timeout=5000)

    assert not died.wait(1.5)


@contextmanager
def black_hole():
    """A server that accepts connections, reads, and says nothing."""
    connections = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def accept():
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in connections:
        connection.close()
