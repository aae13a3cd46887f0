"""Step 5 of 5: tell the providers, signed, again and again until they have heard."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
import tenacity

from shared import callback, jobs
from shared.db.group_commit import Bounds, GroupCommitter
from shared.db.queries import callbacks
from shared.errors import NotSent, UpstreamError
from shared.http import Limits, Reply, prepare
from shared.lifecycle import CallbackState
from shared.reasons import meaning_of
from shared.retry_policy import next_callback_at
from shared.sealing import Unsealable
from shared.services import Services, callback_schedule
from shared.times import parse_time
from workers.senders import Senders
from workers.single_flight import SingleFlight

_RUN_S: Final = 15
_SHARES: Final = callbacks.Shares(wanted=512, endpoint=64, failing_endpoint=2)
#: A worker that dies leaves its callbacks to others after this long, in seconds.
_LEASE_S: Final = 30
_REPLY_BYTES: Final = 16 * 1024
_KEPT_REPLY: Final = 1024  # characters shown to the provider
_GONE: Final = 410
_WAIT_HEEDED: Final = (429, 503)

log = structlog.get_logger()


@dataclass(slots=True)
class _Line:
    """One endpoint's claimed callbacks: a few at a time go out, whoever answers slowly holds up only itself."""

    waiting: deque[tuple[callbacks.ClaimedCallback, float]] = field(default_factory=deque)
    sending: int = 0


class DeliverCallbacks:
    """Claim, POST, record. Repeats carry the same ``webhook-id``, so that the receiver can drop them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self.senders = Senders("callback", settings.callback_senders)
        self._limit = settings.callback_endpoint_limit
        self._limits = Limits(
            connect_s=settings.callback_connect_seconds,
            read_s=settings.callback_timeout_seconds,
            total_s=settings.callback_timeout_seconds,
            max_body=_REPLY_BYTES,
        )
        self._schedule = callback_schedule(settings)
        self._flight = SingleFlight()
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        # A connection that was never made is worth one more try at once; nothing else is.
        self._never_sent = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(NotSent),
            stop=tenacity.stop_after_attempt(2),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=0.2),
            reraise=True,
        )
        self._deliveries: GroupCommitter[callbacks.Delivery, None] = GroupCommitter(
            "deliveries", self._record, bounds=Bounds(batch=200, waiting=100_000, patience_s=20, pause_s=0)
        )

    def __call__(self) -> None:
        """Send what is due, until nothing is or the time of one run is over."""
        self._flight.run(self._run)

    def drain(self) -> None:
        """Finish what is on its way, give the rest back, and record it all."""
        self.senders.stop()
        with self._lock:
            rest = [entry for line in self._lines.values() for entry in line.waiting]
            for line in self._lines.values():
                line.waiting.clear()
        self._release([claimed for claimed, _ in rest])
        self.senders.drain()
        self._deliveries.close()

    def _run(self) -> None:
        stop_at = time.monotonic() + _RUN_S
        while time.monotonic() < stop_at and self.senders.wait_for_free(1, stop_at - time.monotonic()):
            claimed_at = time.monotonic()
            claimed = self._services.database.run(
                lambda connection: callbacks.claim(
                    connection, _SHARES, lease_s=_LEASE_S, busy_endpoints=self._busy_endpoints()
                ),
                alone=True,
            )
            if not claimed and not self._wait_for_a_line(stop_at - time.monotonic()):
                return
            for one in claimed:
                self._line_up(one, claimed_at)
        self._services.doorbell.ring(jobs.DELIVER_CALLBACKS)

    def _busy_endpoints(self) -> list[str]:
        """Endpoints with enough claimed callbacks to go on with."""
        with self._lock:
            return [endpoint_id for endpoint_id, line in self._lines.items() if len(line.waiting) >= self._limit]

    def _wait_for_a_line(self, timeout_s: float) -> bool:
        """Wait while every endpoint with work is busy; False when no endpoint is."""
        stop_at = time.monotonic() + timeout_s
        while self._busy_endpoints():
            before = len(self._busy_endpoints())
            self.senders.wait_for_free(self.senders.free() + 1, min(0.1, stop_at - time.monotonic()))
            if self.senders.is_stopping or time.monotonic() > stop_at:
                return False
            if len(self._busy_endpoints()) < before:
                return True
        return False

    def _line_up(self, claimed: callbacks.ClaimedCallback, claimed_at: float) -> None:
        # Past this moment a whole POST no longer fits into the lease.
        usable_until = claimed_at + _LEASE_S - self._limits.total_s - 2
        with self._lock:
            line = self._lines.setdefault(claimed.endpoint_id, _Line())
            line.waiting.append((claimed, usable_until))
            if line.sending >= self._limit:
                return
            line.sending += 1
        self.senders.start(partial(self._serve, claimed.endpoint_id, line))

    def _serve(self, endpoint_id: str, line: _Line) -> None:
        """Send the line's callbacks one after the other; after a failure give the rest of the line back."""
        while True:
            with self._lock:
                if not line.waiting:
                    line.sending -= 1
                    if not line.sending:
                        self._lines.pop(endpoint_id, None)
                    return
                claimed, usable_until = line.waiting.popleft()
            if time.monotonic() > usable_until:
                self._release([claimed])
                continue
            delivery = self._deliver(claimed)
            self._deliveries.submit([delivery])
            if delivery.state != CallbackState.DONE:
                with self._lock:
                    rest = [entry for entry, _ in line.waiting]
                    line.waiting.clear()
                self._release(rest)

    def _release(self, unsent: Sequence[callbacks.ClaimedCallback]) -> None:
        if unsent:
            given_back = [(one.callback_id, one.attempts) for one in unsent]
            self._services.database.run(lambda connection: callbacks.release(connection, given_back), alone=True)

    def _deliver(self, claimed: callbacks.ClaimedCallback) -> callbacks.Delivery:
        started = time.monotonic()
        reply: Reply | None = None
        error: str | None = None
        try:
            reply = self._post(claimed)
            error = None if 200 <= reply.status < 300 else f"http_{reply.status}"
        except UpstreamError as failure:
            error = failure.reason
        except (Unsealable, ValueError) as failure:
            error = "not_sendable"
            log.error("callback_not_built", callback_id=claimed.callback_id, error=type(failure).__name__)  # noqa: TRY400
        elapsed_ms = round((time.monotonic() - started) * 1000)
        return self._delivery(claimed, reply, error, elapsed_ms)

    def _post(self, claimed: callbacks.ClaimedCallback) -> Reply:
        secret = self._services.sealer.unseal(claimed.secret, row=claimed.endpoint_id).decode()
        body = callback.body(event_of(claimed))
        headers = callback.headers(claimed.event_id, body, secrets=[secret], at=datetime.now(UTC))
        template = prepare("POST", claimed.url)

        def once() -> Reply:
            return self._services.callbacks_edge.send(template, body, headers=headers, limits=self._limits)

        try:
            return once()
        except NotSent:
            reply: Reply = self._never_sent(once)
            return reply

    def _delivery(
        self, claimed: callbacks.ClaimedCallback, reply: Reply | None, error: str | None, elapsed_ms: int
    ) -> callbacks.Delivery:
        state, due_in_s = CallbackState.DONE, None
        if error is not None:
            state, due_in_s = self._after_failure(claimed, reply)
            log.info("callback_failed", callback_id=claimed.callback_id, error=error, attempts=claimed.attempts)
        return callbacks.Delivery(
            callback_id=claimed.callback_id,
            number=claimed.attempts,
            endpoint_id=claimed.endpoint_id,
            state=state,
            due_in_s=due_in_s,
            elapsed_ms=elapsed_ms,
            http_status=None if reply is None else reply.status,
            error=error,
            reply=None if reply is None else _readable(reply.body),
            disables=reply is not None and reply.status == _GONE,
        )

    def _after_failure(
        self, claimed: callbacks.ClaimedCallback, reply: Reply | None
    ) -> tuple[CallbackState, float | None]:
        if reply is not None and reply.status == _GONE:
            return CallbackState.PARKED, None
        now = datetime.now(UTC)
        retry_at = next_callback_at(
            claimed.attempts - claimed.failures_forgiven,
            now=now,
            luck=random.random(),  # noqa: S311  jitter
            retry_after_s=_retry_after_s(reply),
            schedule=self._schedule,
        )
        if retry_at is None:
            log.warning("callback_parked", callback_id=claimed.callback_id, attempts=claimed.attempts)
            return CallbackState.PARKED, None
        return CallbackState.DUE, (retry_at - now) / timedelta(seconds=1)

    def _record(self, deliveries: Sequence[callbacks.Delivery], patience_s: float) -> list[None]:
        self._services.database.run(
            lambda connection: callbacks.record(connection, deliveries), patience_s=patience_s, alone=True
        )
        return [None] * len(deliveries)


def event_of(claimed: callbacks.ClaimedCallback) -> callback.CallbackEvent:
    """The event as the provider reads it: what was known when it happened, not what is known now."""
    facts = claimed.facts
    meaning = meaning_of(claimed.reason)
    return callback.CallbackEvent(
        type=claimed.type,
        timestamp=claimed.occurred_at,
        sequence=claimed.sequence,
        id=claimed.id,
        message_id=claimed.message_id,
        message_type=claimed.lane,
        status=claimed.status,
        reason=claimed.reason,
        retryable=meaning is not None and meaning.retryable,
        party=None if meaning is None else meaning.party,
        destination=claimed.destination_masked,
        attempts=facts["attempts"],
        session_id=facts["sessionId"],
        answered_at=_moment(facts.get("answeredAt")),
        ended_at=_moment(facts.get("endedAt")),
        duration_s=facts.get("durationSeconds"),
        heard=facts.get("heard"),
        key_pressed=facts.get("keyPressed"),
        mos=(facts.get("quality") or {}).get("mos"),
        metadata=claimed.metadata,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _readable(body: bytes) -> str:
    """The beginning of a reply as text that PostgreSQL can hold."""
    text = body[: 4 * _KEPT_REPLY].decode("utf-8", "replace")[:_KEPT_REPLY]
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def _retry_after_s(reply: Reply | None) -> float | None:
    """Seconds that a receiver asked for (RFC 9110 10.2.3); the date form is rare and not heeded."""
    if reply is None or reply.status not in _WAIT_HEEDED:
        return None
    text = reply.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
