"""
The door in front of the app. Submissions that could not be answered in good time are refused at once and cheaply,
and whoever sends little is let in before whoever sends much.

A flood must not queue where nobody sees it. What would wait too long is told so within microseconds, mostly unread and
always unparsed and unauthenticated. Other routes just pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from ingress.bodies import BATCH_LIMIT
from ingress.environ import RESTS
from ingress.turns import Turn, Turns

#: Each takes one message, or many.
CALLS: Final = frozenset({"/api/make-call", "/v1/messages", "/integrations/okta/telephony"})
BATCHES: Final = frozenset({"/api/make-calls", "/v1/messages/batch"})
#: A request is let wait if its answer should take no longer than this, in seconds: one call, a batch.
_CALL_S: Final = 0.25
_BATCH_S: Final = 1.0
#: Whatever was expected, nobody waits longer than this for a turn, in seconds.
_PATIENCE_S: Final = 2.0
#: A batch counts as one call for so many bytes: it spares the request around each call, not the work on it.
_BYTES_A_CALL: Final = 400

_LEAVE: Final = "ringpost.leave_gate"
#: Behind a sender's name, of its line for batches.
_IN_BATCHES: Final = " in batches"

#: Ends a request's stay.
Leave = Callable[[], None]


class Headers(Protocol):
    """A request's, by names in lower case."""

    def get(self, name: str, /) -> str | None:
        """The first of this name."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submission asks of the gate."""

    sender: str
    work: int  # in calls
    good_time_s: float


class Gate:
    """Lets submissions in, in their turns."""

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns or Turns()

    def refuses(self, submission: Submission) -> bool:
        """Whether there is no place for it now, so that its body need not be awaited."""
        return not self._turns.has_place(submission.sender, submission.work, good_time_s=submission.good_time_s)

    async def enter(self, submission: Submission) -> Leave | None:
        """
        Wait for the request's turn.

        Returns:
            What to call when it is answered; None when it is refused.
        """
        turn = self._turns.enter(submission.sender, submission.work, good_time_s=submission.good_time_s)
        if turn is None or (turn.is_waiting and not await self._called(submission.sender, turn)):
            return None
        return partial(self._turns.leave, turn)

    async def _called(self, sender: str, turn: Turn) -> bool:
        called = asyncio.get_running_loop().create_future()
        turn.call = partial(called.set_result, None)
        try:
            await asyncio.wait((called,), timeout=_PATIENCE_S)
        finally:
            if turn.is_waiting:
                self._turns.give_up(sender, turn)
        return not turn.is_waiting


def submission_of(method: str, path: str, headers: Headers) -> Submission | None:
    """What a request asks; None for one that passes as it is."""
    if method != "POST":
        return None
    # By what is sent to authenticate with, checked or not: whoever invents keys stands in as many lines.
    if path in CALLS:
        return Submission(headers.get("authorization") or "", 1, _CALL_S)
    if path in BATCHES:
        # Batches have a line of their own beside the calls of the same sender.
        sender = (headers.get("authorization") or "") + _IN_BATCHES
        return Submission(sender, _calls(headers.get("content-length") or ""), _BATCH_S)
    return None


def nothing() -> None:
    """Without a turn, there is none to leave."""


def leave_with(environ: dict[str, Any], leave: Leave) -> None:
    """Let the request's code say by :func:`step_aside` that it is done."""
    environ[_LEAVE] = leave


def step_aside(environ: dict[str, Any]) -> None:
    """The request's work is done, it only waits from now on, as it asked to: let others in."""
    environ[RESTS] = time.perf_counter()
    environ.get(_LEAVE, nothing)()


def _calls(length: str) -> int:
    is_number = length.isascii() and length.isdecimal() and len(length) <= len(str(BATCH_LIMIT))
    return max(1, min(int(length), BATCH_LIMIT) // _BYTES_A_CALL) if is_number else 1
