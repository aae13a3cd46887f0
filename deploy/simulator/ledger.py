"""
What really happened: every callflow accepted, every webhook sent, every request refused.

The proof drills use it as 8x8's own bill: two entries for one message are two calls. Nothing is ever dropped,
so a long load run costs about 2 KB an entry.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from deploy.simulator.payloads import in_milliseconds


class WebhookAttempt(NamedTuple):
    """One POST of a webhook and what came back: an HTTP status or the error's name."""

    kind: str
    sent_at: datetime
    came_back: int | str


@dataclass(slots=True, kw_only=True)
class Entry:
    """One accepted callflow, or one inbound call (``body`` empty)."""

    accepted_at: datetime
    destination: str
    source: str
    session_id: str
    client_request_id: str | None
    behaviour: str
    body: bytes
    is_inbound: bool = False
    session_status: str | None = None  # None: still running
    webhooks: list[WebhookAttempt] = field(default_factory=list)

    def came_back(self, kind: str) -> list[int | str]:
        """The answers to this session's webhooks of one kind, oldest first."""
        return [attempt.came_back for attempt in self.webhooks if attempt.kind == kind]

    def as_json(self) -> dict[str, Any]:
        """The entry as the control route shows it."""
        return {
            "acceptedAt": in_milliseconds(self.accepted_at),
            "destination": self.destination,
            "source": self.source,
            "sessionId": self.session_id,
            "clientRequestId": self.client_request_id,
            "behaviour": self.behaviour,
            "body": json.loads(self.body) if self.body else None,
            "inbound": self.is_inbound,
            "sessionStatus": self.session_status,
            "webhooks": [
                {
                    "type": attempt.kind,
                    "sentAt": in_milliseconds(attempt.sent_at),
                    "cameBack": attempt.came_back,
                }
                for attempt in self.webhooks
            ],
        }


class Ledger:
    """Written by the simulator's loop, read and waited on by any thread."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refused: Counter[str] = Counter()
        self._changed = threading.Condition()

    def accept(self, entry: Entry) -> None:
        """Write down a session at the moment it exists."""
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def refuse(self, code: int | str) -> None:
        """Count a request that made no session."""
        with self._changed:
            self.refused[str(code)] += 1
            self._changed.notify_all()

    def end(self, entry: Entry, session_status: str | None) -> None:
        """Write down how a session ended."""
        with self._changed:
            entry.session_status = session_status
            self._changed.notify_all()

    def sent(self, entry: Entry, attempt: WebhookAttempt) -> None:
        """Write down a webhook's POST once its answer is known."""
        with self._changed:
            entry.webhooks.append(attempt)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self.entries.clear()
            self.refused.clear()
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[Ledger], bool], timeout_s: float) -> bool:
        """Block until *predicate* holds, looked at after every change; False if *timeout_s* passes first."""
        with self._changed:
            return self._changed.wait_for(lambda: predicate(self), timeout_s)

    @property
    def accepted(self) -> list[Entry]:
        """The callflows that made a session; inbound calls left out."""
        return [entry for entry in list(self.entries) if not entry.is_inbound]

    def of(self, destination: str) -> list[Entry]:
        """The accepted callflows for one number."""
        return [entry for entry in self.accepted if entry.destination == destination]

    def summary(self) -> dict[str, Any]:
        """The figures a drill compares with the database."""
        accepted = self.accepted
        dials = Counter(entry.destination for entry in accepted)
        request_ids = Counter(entry.client_request_id for entry in accepted if entry.client_request_id)
        return {
            "accepted": len(accepted),
            "refused": dict(self.refused),
            "destinationsDialledMoreThanOnce": {number: count for number, count in dials.items() if count > 1},
            "clientRequestIdsSeenMoreThanOnce": {name: count for name, count in request_ids.items() if count > 1},
            "sessionsByStatus": dict(Counter(entry.session_status or "RUNNING" for entry in accepted)),
        }
