"""
Dramatiq's Redis broker with a blocking wake-up, for jobs that are doorbells.

The stock consumer polls: accept-to-dial took 107 ms at the median. Here an idle consumer waits in BLPOP on the queue
itself: 4.5 ms, at 0.3 % of a core. A ring is taken out once and for all, without acknowledgement: one that is lost
with its worker costs the second until the sweeper rings again. While Redis is away the consumer rings for itself, and
the step looks at PostgreSQL directly.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from redis.backoff import NoBackoff
from redis.retry import Retry

#: One ring that nobody has heard yet says it all: whoever hears it looks at every row committed until then.
#: What Dramatiq's own script enqueues, in one round trip. With an empty queue all bodies belong to rings of before.
_RING: Final = """
if redis.call('llen', KEYS[1]) > 0 then return 0 end
redis.call('del', KEYS[2])
redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
redis.call('rpush', KEYS[1], ARGV[1])
return 1
"""
#: What a consumer's connection is called, so that Redis can tell which queues somebody listens to.
CONSUMER_NAME: Final = "ringpost:{}"
#: Seconds between a consumer's own looks while Redis is away.
_SELF_RING_S: Final = 0.5

log = structlog.get_logger()


class WakeUpBroker(RedisBroker):
    """A RedisBroker whose consumers sleep in Redis until rung, without delay queues."""

    def __init__(self, url: str, *, timeout_s: float, middleware: list[dramatiq.Middleware] | None = None) -> None:
        """
        Args:
            url: ``redis://…`` or ``unix://…``.
            timeout_s: Longest wait for Redis per command, in seconds; short where a ring must cost nothing.
            middleware: Of the worker; none for those that only ring.
        """
        super().__init__(  # type: ignore[no-untyped-call]
            client=connect(url, timeout_s=timeout_s),
            middleware=middleware or [],
            maintenance_chance=100_000,
            heartbeat_timeout=30_000,
        )
        self.url = url
        self.timeout_s = timeout_s
        self._line = _Line(self.client)
        #: By queue, the one message that it ever holds.
        self.doorbells: dict[str, dramatiq.Message[None]] = {}
        #: When each consumer of this process last looked for a ring, by queue, on the monotonic clock.
        self.looked_at: dict[str, float] = {}

    @property
    def consumer_class(self) -> type[_RedisConsumer]:
        """The consumer that sleeps in Redis."""
        return WakeUpConsumer

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue. It gets no delay queue: waits of ours are rows with a due time."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def ring(self, message: dramatiq.Message[Any]) -> bool:
        """
        Enqueue a doorbell as ``RedisBroker.enqueue`` does and wake one sleeping consumer, unless one waits unheard.

        Returns:
            Whether it was needed. While a worker is at it a ring waits in its queue, and further ones cost one look.

        Raises:
            redis.RedisError: Redis is away; nothing is lost but time.
        """
        return self._line.ring(f"{self.namespace}:{message.queue_name}", message)


class _Line:
    """
    A connection of its own for rings, each of which is packed once: in a burst they took a tenth of an ingress' time.

    Every ring of a queue says the same, so its id may be the same as well: Redis never holds two of them.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._connection: Any = client.connection_pool.make_connection()
        self._packed: dict[str, Any] = {}
        self._lock = threading.Lock()

    def ring(self, queue: str, message: dramatiq.Message[Any]) -> bool:
        with self._lock:
            packed = self._packed.get(queue) or self._pack(queue, message)
            try:
                return bool(self._ask(packed))
            except redis.exceptions.NoScriptError:
                self._client.script_load(_RING)
                return bool(self._ask(packed))

    def _pack(self, queue: str, message: dramatiq.Message[Any]) -> Any:
        id_ = str(uuid.uuid4())
        body = message.copy(options={"redis_message_id": id_}).encode()
        name = hashlib.sha1(_RING.encode(), usedforsecurity=False).hexdigest()
        self._packed[queue] = self._connection.pack_command("EVALSHA", name, 2, queue, f"{queue}.msgs", id_, body)
        return self._packed[queue]

    def _ask(self, packed: Any) -> Any:
        connection = self._connection
        if connection.is_connected and _is_stale(connection):
            connection.disconnect()  # sending connects it anew
        connection.send_packed_command(packed)
        return connection.read_response()


def _is_stale(connection: Any) -> bool:
    """Whether Redis has hung up since, or says what answers nothing that will be asked."""
    try:
        return bool(connection.can_read())
    except redis.RedisError:
        return True


class WakeUpConsumer(_RedisConsumer):
    """
    Sleeps in Redis instead of polling; survives whatever Redis does without losing its thread.

    It takes no ring that no thread is free for: others may hear it, and until it is heard none more is needed.
    """

    def __init__(self, broker: WakeUpBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # Dramatiq asks for two a thread.
        super().__init__(broker, queue_name, max(1, prefetch // 2), timeout)  # type: ignore[no-untyped-call]
        self._is_free = threading.Event()
        self._sleep_s = timeout / 1000
        # BLPOP needs a client that waits longer than the block lasts.
        self._waiter = connect(
            broker.url, timeout_s=self._sleep_s + broker.timeout_s, name=CONSUMER_NAME.format(queue_name)
        )
        self._is_away = False
        self._queue = f"{broker.namespace}:{queue_name}"
        self._last_self_ring = 0.0

    def __next__(self) -> MessageProxy | None:
        self.broker.looked_at[self.queue_name] = time.monotonic()
        if self.outstanding_message_count >= self.prefetch:
            self._is_free.clear()
            if self.outstanding_message_count >= self.prefetch and not self._is_free.wait(self._sleep_s):
                return None
        try:
            if self._is_away:
                self.broker.client.ping()  # fails sooner than a wait would
                self._is_away = False
            if self._waiter.blpop([self._queue], timeout=self._sleep_s) is None:
                return None
        except redis.RedisError as error:
            self._is_away = True
            log.warning("redis_away", queue=self.queue_name, error=type(error).__name__)
            # Work goes on without Redis, at a walking pace.
            time.sleep(max(0.0, self._last_self_ring + _SELF_RING_S - time.monotonic()))
            self._last_self_ring = time.monotonic()
        return self._heard()

    def _heard(self) -> MessageProxy:
        """The queue's doorbell: every ring of a queue says the same, so its body need not be fetched."""
        message = self.broker.doorbells[self.queue_name].copy(message_id=str(uuid.uuid4()))
        self.queued_message_ids.add(message.message_id)
        return MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        """Done: there is room for another."""
        self.queued_message_ids.discard(message.message_id)
        self._is_free.set()

    nack = ack

    def requeue(self, messages: Any) -> None:
        """Ring again for those that were not started."""
        try:
            for message in messages:
                self.broker.ring(message)
        except redis.RedisError as error:
            log.info("rings_not_returned", queue=self.queue_name, error=type(error).__name__)

    def close(self) -> None:
        """Let go of the waiting connection."""
        self._waiter.close()


class ConsumerWatch(dramatiq.Middleware):
    """Ends the process when a consumer thread has died: nothing else would notice, and a supervisor restarts it."""

    def __init__(self, on_death: Any) -> None:
        self._on_death = on_death
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def after_consumer_thread_boot(self, broker: Any, thread: threading.Thread) -> None:  # noqa: ARG002
        """Remember a thread to watch."""
        self._threads.append(thread)

    def after_worker_boot(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Begin to watch."""
        threading.Thread(target=self._watch, name="consumer-watch", daemon=True).start()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:  # noqa: ARG002
        """Threads end on purpose from here on."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(1):
            if not all(thread.is_alive() for thread in self._threads):
                log.critical("consumer_thread_died")
                self._on_death()
                return


def connect(url: str, *, timeout_s: float, name: str | None = None) -> redis.Redis:
    """A client with a pool of our own making: bounded waits, no hidden retries (a replayed push rings twice)."""
    pool = redis.ConnectionPool.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(timeout_s, 1.0),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
        client_name=name,
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
    )
    return redis.Redis(connection_pool=pool)
