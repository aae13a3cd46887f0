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
from shared.strand import Latch

Answer = tuple[Status, str | None, str | None]  # status, reason, session_id

_POLL_S: Final = 0.02
#: Beyond so many in one process, the answer comes at once: each is asked for again and again.
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
        self._somebody = threading.Condition(threading.Lock())
        self._waiting: dict[str, list[_Wait]] = {}
        threading.Thread(target=self._run, name="placements", daemon=True).start()

    def wait(self, message_id: str, timeout_s: float) -> Answer | None:
        """What 8x8's answer made of the message; None when time is up or too many wait already."""
        mine = _Wait()
        with self._somebody:
            if sum(map(len, self._waiting.values())) >= MAX_WAITING:
                return None
            self._waiting.setdefault(message_id, []).append(mine)
            self._somebody.notify()
        try:
            mine.answered.wait(timeout_s)
        finally:
            with self._somebody:
                self._forget(message_id, mine)
        return mine.answer

    def _forget(self, message_id: str, wait: _Wait) -> None:
        waits = self._waiting[message_id]
        waits.remove(wait)
        if not waits:
            del self._waiting[message_id]

    def _run(self) -> None:
        while True:
            with self._somebody:
                while not self._waiting:
                    self._somebody.wait()
                wanted = [id_ for id_, waits in self._waiting.items() if any(wait.answer is None for wait in waits)]
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
        with self._somebody:
            for message_id, answer in answers.items():
                for wait in self._waiting.get(message_id, ()):
                    if wait.answer is None:
                        wait.answer = answer
                        wait.answered.set()


class _Wait:
    """One request's."""

    __slots__ = ("answer", "answered")

    def __init__(self) -> None:
        self.answered = Latch()
        self.answer: Answer | None = None
