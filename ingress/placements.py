"""Requests that wait for 8x8's answer (``Prefer: wait``): few, bounded, woken by one poll for all of them."""

from __future__ import annotations

import re
import threading
import time
from typing import Final

import structlog

from shared.db.database import Database, is_away
from shared.db.queries import accept
from shared.lifecycle import Status

Answer = tuple[Status, str | None, str | None]  # status, reason, session_id

_POLL_S: Final = 0.02
#: Beyond so many in one process, the answer comes at once: waiting requests hold threads that others need.
MAX_WAITING: Final = 32
_LONGEST_S: Final = 10
_PREFER: Final = re.compile(r"(?:^|[,;])\s*wait\s*=\s*(\"?)([0-9]{1,4})\1\s*(?:$|[,;])", re.IGNORECASE)

log = structlog.get_logger()


def wait_wanted(prefer: str) -> float:
    """Seconds to hold the reply (RFC 7240 4.3), 1 to 10; 0 for not at all."""
    found = _PREFER.search(prefer)
    return min(_LONGEST_S, int(found.group(2))) if found else 0


class Placements:
    """Watches the messages that requests wait for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition(threading.Lock())
        self._waiting: dict[str, int] = {}
        self._answers: dict[str, Answer] = {}
        threading.Thread(target=self._run, name="placements", daemon=True).start()

    def wait(self, message_id: str, timeout_s: float) -> Answer | None:
        """What 8x8's answer made of the message; None when time is up or too many wait already."""
        stop_at = time.monotonic() + timeout_s
        with self._changed:
            if sum(self._waiting.values()) >= MAX_WAITING:
                return None
            self._waiting[message_id] = self._waiting.get(message_id, 0) + 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: message_id in self._answers, stop_at - time.monotonic())
            answer = self._answers.get(message_id)
            self._waiting[message_id] -= 1
            if not self._waiting[message_id]:
                del self._waiting[message_id]
                self._answers.pop(message_id, None)
            return answer

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                wanted = [message_id for message_id in self._waiting if message_id not in self._answers]
            if wanted:
                self._look(wanted)
            time.sleep(_POLL_S)

    def _look(self, wanted: list[str]) -> None:
        try:
            answers = self._database.run(lambda connection: accept.answered(connection, wanted), alone=True)
        except Exception as error:  # those who wait have their own bound
            if not is_away(error):
                log.exception("placements_not_read")
            return
        if answers:
            with self._changed:
                self._answers.update({key: answer for key, answer in answers.items() if key in self._waiting})
                self._changed.notify_all()
