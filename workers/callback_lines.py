"""Claimed callbacks, lined up by endpoint, so that whoever answers slowly holds up only itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.db.queries.callbacks import ClaimedCallback


@dataclass(slots=True)
class _Line:
    waiting: deque[tuple[ClaimedCallback, float]] = field(default_factory=deque)
    sending: int = 0
    is_failing: bool = False


class Lines:
    """What this process has claimed and not yet sent. Of each endpoint's line a few go out at a time."""

    def __init__(self, limit: int) -> None:
        """
        Args:
            limit: Most senders that one line occupies.
        """
        self._limit = limit
        self._changed = threading.Condition(threading.Lock())
        self._lines: dict[str, _Line] = {}
        self._is_rung = False

    def ring(self) -> None:
        """Let whoever waits for room look again."""
        with self._changed:
            self._is_rung = True
            self._changed.notify_all()

    def look(self) -> tuple[list[str], int]:
        """The endpoints that nothing may be claimed for now, and how many callbacks of failing ones are here."""
        with self._changed:
            self._is_rung = False
            busy = [endpoint_id for endpoint_id in self._lines if self._is_busy(endpoint_id)]
            return busy, sum(len(line.waiting) + line.sending for line in self._lines.values() if line.is_failing)

    def room(self, most: int) -> tuple[list[str], int]:
        """The endpoints that nothing may be added for now, and how many callbacks may be until *most* are here."""
        with self._changed:
            busy = [endpoint_id for endpoint_id in self._lines if self._is_busy(endpoint_id)]
            return busy, max(0, most - sum(len(line.waiting) + line.sending for line in self._lines.values()))

    def wait_for_room(self, busy: Sequence[str], timeout_s: float) -> bool:
        """Wait until one of the *busy* endpoints can take more, or somebody rings; False when there is none."""
        if not busy:
            return False
        with self._changed:
            self._changed.wait_for(lambda: self._is_rung or not all(map(self._is_busy, busy)), timeout_s)
        return True

    def add(self, claimed: ClaimedCallback, usable_until: float) -> bool:
        """Line one up; True when its line needs one more sender."""
        with self._changed:
            line = self._lines.setdefault(claimed.endpoint_id, _Line())
            line.is_failing = line.is_failing or claimed.is_failing
            line.waiting.append((claimed, usable_until))
            needs_sender = line.sending < self._limit
            line.sending += needs_sender
            return needs_sender

    def next(self, endpoint_id: str) -> tuple[ClaimedCallback, float] | None:
        """The next to be sent, and until when it may be; None lets the sender go."""
        with self._changed:
            line = self._lines[endpoint_id]
            entry = line.waiting.popleft() if line.waiting else None
            if entry is None:
                line.sending -= 1
                if not line.sending:
                    del self._lines[endpoint_id]
            if not self._is_busy(endpoint_id):
                self._changed.notify_all()
            return entry

    def fail(self, endpoint_id: str) -> list[ClaimedCallback]:
        """The endpoint failed: take out the rest of its line, and let it have no more until its senders are done."""
        with self._changed:
            self._lines[endpoint_id].is_failing = True
            return self._emptied(endpoint_id)

    def clear(self) -> list[ClaimedCallback]:
        """Take out everything that is not on its way."""
        with self._changed:
            return [claimed for endpoint_id in self._lines for claimed in self._emptied(endpoint_id)]

    def _emptied(self, endpoint_id: str) -> list[ClaimedCallback]:
        waiting = self._lines[endpoint_id].waiting
        rest = [claimed for claimed, _ in waiting]
        waiting.clear()
        return rest

    def _is_busy(self, endpoint_id: str) -> bool:
        line = self._lines.get(endpoint_id)
        return line is not None and (line.is_failing or len(line.waiting) >= self._limit)
