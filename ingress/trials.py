"""A made-up event, sent to an endpoint when its provider asks for it: the same way, signed alike, and told at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from ingress.problems import Problem
from shared import callback, callback_post
from shared.db.database import DatabaseAway
from shared.db.queries import own_endpoints
from shared.errors import UpstreamError
from shared.http import Reply
from shared.ids import new_id
from shared.sealing import Unsealable
from shared.services import Services

#: At once, of all providers: each may hold a thread for as long as a callback may take. Of a provider one.
_MOST: Final = 4
_TYPE: Final = "message.test"
_NO_MESSAGE: Final = "msg_" + "0" * 26
_RETRY_S: Final = 1


class Trials:
    """Sends test events, a few at once. None is in the feed, and none says anything of an endpoint's health."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limits = callback_post.limits_of(services.settings)
        self._lock = threading.Lock()
        self._trying: set[str] = set()

    def send(self, provider_id: str, endpoint_id: str) -> dict[str, Any]:
        """
        Send one event and say what the receiver said; blocks for as long as a callback may take.

        Raises:
            Problem: 404, there is no such endpoint; 503, too many such events are on their way.
        """
        with self._turn(provider_id):
            try:
                found = self._services.database.run(
                    lambda c: own_endpoints.target(c, provider_id, endpoint_id), patience_s=0.5
                )
            except DatabaseAway:
                raise Problem("unavailable", "The database does not answer.", retry_after_s=_RETRY_S) from None
            if found is None:
                raise Problem("not_found", "No endpoint of yours has this id.")
            return self._sent(endpoint_id, *found)

    @contextmanager
    def _turn(self, provider_id: str) -> Iterator[None]:
        with self._lock:
            if provider_id in self._trying or len(self._trying) >= _MOST:
                raise Problem("overloaded", "Other test events are on their way.", retry_after_s=_RETRY_S)
            self._trying.add(provider_id)
        try:
            yield
        finally:
            with self._lock:
                self._trying.remove(provider_id)

    def _sent(self, endpoint_id: str, url: str, sealed: list[bytes]) -> dict[str, Any]:
        event_id, now = new_id("evt"), datetime.now(UTC)
        body = callback.body(_event(now))
        services = self._services
        reply: Reply | None = None
        started = time.monotonic()
        try:
            headers = callback_post.signed(services.sealer, endpoint_id, sealed, event_id, body, now)
            reply = callback_post.ready(services.callbacks_edge, self._limits, url, body, headers)()
            error = callback_post.error_of(reply)
        except UpstreamError as failure:
            error = failure.reason
        except (Unsealable, ValueError):
            error = "not_sendable"
        return {
            "delivered": error is None,
            "webhookId": event_id,
            "httpStatus": None if reply is None else reply.status,
            "error": error,
            "elapsedMs": round((time.monotonic() - started) * 1000),
            "reply": None if reply is None else callback_post.readable(reply.body),
        }


def _event(now: datetime) -> callback.CallbackEvent:
    """Like a delivered message's, and plainly none: its type, its mode, a sequence before all others."""
    return callback.CallbackEvent(
        type=_TYPE,
        timestamp=now,
        sequence=0,
        id=_NO_MESSAGE,
        message_id="test",
        message_type="notification",
        is_test=True,
        status="delivered",
        reason=None,
        retryable=False,
        party=None,
        destination="+6581234567",
        attempts=1,
        session_id=None,
        answered_at=now,
        ended_at=now,
        duration_s=0,
        heard="full",
        key_pressed=None,
        mos=None,
        metadata={},
    )
