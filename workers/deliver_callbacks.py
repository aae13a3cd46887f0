"""Step 5 of 5: tell the providers, signed, again and again until they have heard."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
import tenacity

from shared import callback, callback_post, failpoints, jobs
from shared.db.database import DatabaseAway
from shared.db.group_commit import Bounds, GroupCommitter
from shared.db.queries import callbacks
from shared.errors import ForbiddenAddress, NotSent, UpstreamError
from shared.http import Reply
from shared.lifecycle import CallbackState
from shared.rest import Rest
from shared.retry_policy import next_callback_at
from shared.sealing import Unsealable
from shared.services import Services, callback_schedule
from workers import traces
from workers.callback_lines import Lines
from workers.senders import Senders
from workers.single_flight import SingleFlight

_RUN_S: Final = 15
_WANTED: Final = 256  # callbacks of one claim
_SHARE: Final = 64  # of them, of one endpoint
_FAILING_SHARE: Final = 2  # the same, of an endpoint whose last callback failed
#: Claimed callbacks that are not on their way after this long are given back, in seconds.
_IN_HAND_S: Final = 20
#: Time to record what a POST came to, in seconds. A worker that dies leaves its callbacks to others after both.
_RECORD_S: Final = 3
#: Above 500 callbacks a second claims come at this distance, in seconds.
_REST_ROW_S: Final = 0.002
_REST_S: Final = 0.05
_GONE: Final = 410
_WAIT_HEEDED: Final = (429, 503)

log = structlog.get_logger()


class DeliverCallbacks:
    """Claim, POST, record. Repeats carry the same ``webhook-id``, so that the receiver can drop them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self.senders = Senders("callback", settings.callback_senders)
        self._limits = callback_post.limits_of(settings)
        # A first try that does not connect, then a whole one, then its record.
        self._lease_s = _IN_HAND_S + self._limits.connect_s + self._limits.total_s + _RECORD_S
        self._schedule = callback_schedule(settings)
        self.flight = SingleFlight()
        self._rest = Rest(_REST_ROW_S, _REST_S, _WANTED)
        self._lines = Lines(settings.callback_endpoint_limit)
        # A connection that was never made is worth one more try at once; nothing else is. The first try stands
        # outside, as entering tenacity costs as much as signing.
        self._once_more = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_connect_now),
            stop=tenacity.stop_after_attempt(2),
            wait=tenacity.wait_random(0, 0.2),
            reraise=True,
        )
        self._deliveries: GroupCommitter[callbacks.Delivery, None] = GroupCommitter(
            "deliveries",
            self._record,
            bounds=Bounds(200, 100_000, patience_s=20, pause_s=0, rest_row_s=0.01, rest_s=0.1, is_awaited=False),
            ids_of=lambda delivery: {"callback_id": delivery.callback_id},
        )
        self._tried = traces.calling_back(services.tracer, self._deliver)

    def __call__(self) -> None:
        """Send what is due, until nothing is or the time of one run is over."""
        self._lines.ring()
        self.flight.run(self._run)

    def room(self) -> callbacks.HandOver:
        """What may be claimed for :meth:`take` now, without a doorbell and a claim in between."""
        busy, room = self._lines.room(2 * self.senders.limit)  # as many again may wait
        return callbacks.HandOver(0 if self.senders.is_stopping else room, busy, self._lease_s)

    def take(self, claimed: Sequence[callbacks.ClaimedCallback], claimed_at: float) -> None:
        """Send what was claimed after *claimed_at* on the monotonic clock."""
        for one in claimed:
            if self._lines.add(one, claimed_at + _IN_HAND_S):
                self.senders.start(partial(self._serve, one.endpoint_id))

    def stop(self) -> None:
        """Take nothing new."""
        self.senders.stop()
        self._lines.ring()

    def drain(self) -> None:
        """Finish what is on its way, give the rest back, and record it all."""
        self.stop()
        self._release(self._lines.clear())
        self.senders.drain()
        self._deliveries.close()

    def _run(self) -> None:
        stop_at = time.monotonic() + _RUN_S
        while time.monotonic() < stop_at and self.senders.wait_for_free(1, stop_at - time.monotonic()):
            time.sleep(self._rest.left_s())
            busy, failing = self._lines.look()
            # Half of the senders never wait for endpoints that are known to fail.
            room = max(0, self.senders.limit // 2 - failing)
            shares = callbacks.Shares(_WANTED, endpoint=_SHARE, failing=room, failing_endpoint=_FAILING_SHARE)
            started_at = time.monotonic()
            failpoints.hit("callback.before_claim")
            claimed = self._services.database.run(
                partial(callbacks.claim, shares=shares, lease_s=self._lease_s, busy_endpoints=busy), alone=True
            )
            failpoints.hit("callback.after_claim", claimed)
            self.take(claimed, started_at)
            self._rest.after(len(claimed), started_at)
            if not busy and len(claimed) < _SHARE:
                return  # that was all; what came since has a ring of its own
            if not claimed and not self._lines.wait_for_room(busy, stop_at - time.monotonic()):
                return
        self._services.doorbell.ring(jobs.DELIVER_CALLBACKS)

    def _serve(self, endpoint_id: str) -> None:
        """Send the line's callbacks one after the other."""
        while (entry := self._lines.next(endpoint_id)) is not None:
            try:
                self._send(*entry)
            except Exception:
                # The line must go on. What was not recorded is sent again after its lease.
                log.exception("callback_not_recorded", **entry[0].ids)

    def _send(self, claimed: callbacks.ClaimedCallback, usable_until: float) -> None:
        """Send one; after a failure give the rest of the line back."""
        if time.monotonic() > usable_until:
            self._release([claimed])
            return
        delivery = self._tried(claimed, None)
        (recorded,) = self._deliveries.submit([delivery])
        if delivery.state == CallbackState.DONE:
            return
        self._release(self._lines.fail(claimed.endpoint_id))
        # Not before the endpoint is on record as failing may more be claimed for it.
        recorded.wait(_RECORD_S, withdraw=False)

    def _release(self, unsent: Sequence[callbacks.ClaimedCallback]) -> None:
        """Give callbacks back. While PostgreSQL is away, the end of their lease does that."""
        if not unsent:
            return
        given_back = [(one.callback_id, one.attempts) for one in unsent]
        try:
            self._services.database.run(partial(callbacks.release, unsent=given_back), alone=True)
        except DatabaseAway:
            log.warning("callbacks_not_given_back", callback_ids=[one.callback_id for one in unsent])

    def _deliver(self, claimed: callbacks.ClaimedCallback, traceparent: str | None) -> callbacks.Delivery:
        started = time.monotonic()
        reply: Reply | None = None
        error: str | None = None
        try:
            reply = self._post(claimed, traceparent)
            error = callback_post.error_of(reply)
        except UpstreamError as failure:
            error = failure.reason
        except (Unsealable, ValueError, LookupError, TypeError) as failure:
            error = "not_sendable"
            log.error("callback_not_built", **claimed.ids, error=type(failure).__name__)  # noqa: TRY400
        failpoints.hit("callback.after_post")
        took_s = time.monotonic() - started
        answer = "none" if reply is None else f"{reply.status // 100}xx"
        self._services.counters.durations("callback_posts", answer).observe(took_s)
        return self._delivery(claimed, reply, error, round(took_s * 1000))

    def _post(self, claimed: callbacks.ClaimedCallback, traceparent: str | None) -> Reply:
        sealed = (claimed.secret,) if claimed.old_secret is None else (claimed.secret, claimed.old_secret)
        body = callback.body(callback.event_of(claimed))
        sealer, endpoint_id = self._services.sealer, claimed.endpoint_id
        headers = callback_post.signed(sealer, endpoint_id, sealed, claimed.event_id, body, datetime.now(UTC))
        if traceparent is not None:
            headers["traceparent"] = traceparent
        send = callback_post.ready(self._services.callbacks_edge, self._limits, claimed.url, body, headers)

        failpoints.hit("callback.before_post")
        failed: list[NotSent] = []
        try:
            return send()
        except NotSent as error:
            failed.append(error)

        def once_more() -> Reply:
            if failed:
                raise failed.pop()
            return send()

        reply: Reply = self._once_more(once_more)
        return reply

    def _delivery(
        self, claimed: callbacks.ClaimedCallback, reply: Reply | None, error: str | None, elapsed_ms: int
    ) -> callbacks.Delivery:
        state, due_in_s = CallbackState.DONE, None
        if error is not None:
            state, due_in_s = self._after_failure(claimed, reply)
            log.info("callback_failed", **claimed.ids, error=error, attempts=claimed.attempts)
        return callbacks.Delivery(
            callback_id=claimed.callback_id,
            number=claimed.attempts,
            endpoint_id=claimed.endpoint_id,
            state=state,
            due_in_s=due_in_s,
            elapsed_ms=elapsed_ms,
            http_status=None if reply is None else reply.status,
            error=error,
            reply=callback_post.readable(reply.body) if reply is not None and error is not None else None,
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
            log.warning("callback_parked", **claimed.ids, attempts=claimed.attempts)
            return CallbackState.PARKED, None
        return CallbackState.DUE, (retry_at - now) / timedelta(seconds=1)

    def _record(self, deliveries: Sequence[callbacks.Delivery], patience_s: float) -> list[None]:
        failpoints.hit("callback.before_record")
        self._services.database.run(partial(callbacks.record, deliveries=deliveries), patience_s=patience_s, alone=True)
        failpoints.hit("callback.after_record")
        return [None] * len(deliveries)


def _may_connect_now(error: BaseException) -> bool:
    return isinstance(error, NotSent) and not isinstance(error, ForbiddenAddress)


def _retry_after_s(reply: Reply | None) -> float | None:
    """Seconds that a receiver asked for (RFC 9110 10.2.3); the date form is rare and not heeded."""
    if reply is None or reply.status not in _WAIT_HEEDED:
        return None
    text = reply.headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
