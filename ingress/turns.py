"""
Whose turn it is: at most so many requests at work, the others in lines by sender, and none that would wait too long.

Not a word of HTTP, nor of waiting: :mod:`ingress.gate` does both. All of it runs on the event loop's thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

#: Requests in the app at once: enough to fill a commit. More would only make each other wait.
SLOTS: Final = 64
#: The same while requests are refused, as each that is at work holds up those that are refused.
SLOTS_IN_FLOOD: Final = 24
#: A flood is over when nothing was refused for so many seconds.
_FLOOD_S: Final = 0.5
#: Requests held at once, at work or waiting.
MAX_HELD: Final = 384
#: So many are held however slow the answers are: a few hundred steady connections are no flood.
_FEW: Final = 160
#: A batch takes at most so many slots: a few at once, and calls still pass between them.
_BATCH_SLOTS: Final = 12
#: Calls a second that a process is taken to answer until that is measured.
_USUAL_RATE: Final = 1000.0
_SLOWEST_RATE: Final = 50.0
#: The rate is measured over at least so many seconds during which somebody always waited.
_WINDOW_S: Final = 0.1
#: What was measured longer ago than this, in seconds, says nothing of now if it was less than usual.
_MEMORY_S: Final = 2.0


class Turn:
    """One request's place in its sender's line."""

    __slots__ = ("call", "is_over", "is_waiting", "slots", "work")

    def __init__(self, work: int, slots: int) -> None:
        self.work = work  # in calls
        self.slots = slots
        self.is_waiting = False
        self.is_over = False
        self.call: Callable[[], None] = _nobody_waits


def _nobody_waits() -> None:
    """Until :mod:`ingress.gate` has somebody to tell."""


class Turns:
    """Who is at work and who waits, a line for each sender."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, deque[Turn]] = {}
        self._order: deque[str] = deque()  # senders who wait; the first is let in next
        self._slots = SLOTS
        self._flood_until = 0.0
        self._taken = 0  # slots
        self._held = 0  # requests
        self._waiting = 0  # calls
        self._rate = _USUAL_RATE
        self._measured_at = clock()
        self._window_began, self._window_done = clock(), 0

    @property
    def held(self) -> int:
        """Requests at work or waiting."""
        return self._held

    @property
    def rate(self) -> float:
        """Calls a second that are answered while somebody waits."""
        return self._rate

    def enter(self, sender: str, work: int, *, good_time_s: float) -> Turn | None:
        """
        Take a request in.

        Returns:
            What :meth:`leave` or :meth:`give_up` wants back. While ``is_waiting``, the request is in its sender's line
            and begins when ``call`` is called. None when the request is refused.
        """
        turn = Turn(work, min(work, _BATCH_SLOTS))
        if not self._order and self._fits(turn):
            self._held += 1
            self._taken += turn.slots
            return turn
        if not self._has_room_to_wait(sender, work, good_time_s):
            return None
        turn.is_waiting = True
        self._held += 1
        self._waiting += work
        line = self._lines.get(sender)
        if line is None:
            line = self._lines[sender] = deque()
            self._order.append(sender)
        line.append(turn)
        return turn

    def has_place(self, sender: str, work: int, *, good_time_s: float) -> bool:
        """Whether :meth:`enter` would take a request in now."""
        return not self._order or self._has_room_to_wait(sender, work, good_time_s)

    def leave(self, turn: Turn) -> None:
        """The request is answered, or only waits from now on: the next may begin. Again, it changes nothing."""
        if turn.is_over:
            return
        turn.is_over = True
        self._held -= 1
        self._taken -= turn.slots
        self._measure(turn.work)
        self._call_next()

    def give_up(self, sender: str, turn: Turn) -> None:
        """Leave the line unserved."""
        turn.is_over = True
        line = self._lines[sender]
        line.remove(turn)
        if not line:
            del self._lines[sender]
            self._order.remove(sender)
        self._held -= 1
        self._waiting -= turn.work
        self._call_next()  # a long batch may have stood in the way of others

    def _call_next(self) -> None:
        while self._order:
            sender = self._order[0]
            line = self._lines[sender]
            if not self._fits(line[0]):
                break
            following = line.popleft()
            self._order.popleft()
            if line:
                self._order.append(sender)
            else:
                del self._lines[sender]
            self._waiting -= following.work
            self._taken += following.slots
            following.is_waiting = False
            following.call()

    def _has_room_to_wait(self, sender: str, work: int, good_time_s: float) -> bool:
        soon = max(_FEW, self._current_rate() * good_time_s)
        if self._held < MAX_HELD and self._ahead(sender, work) <= soon:
            return True
        self._slots, self._flood_until = SLOTS_IN_FLOOD, self._clock() + _FLOOD_S
        return False

    def _fits(self, turn: Turn) -> bool:
        return self._taken + turn.slots <= self._slots

    def _ahead(self, sender: str, work: int) -> int:
        """Calls answered before this request is: everybody's, but of each other sender no more than of this one."""
        line = self._lines.get(sender)
        own = work if line is None else work + sum(turn.work for turn in line)
        senders = len(self._lines) + (line is None)
        return self._taken + min(self._waiting + work, own * senders)

    def _current_rate(self) -> float:
        stale = self._clock() - self._measured_at > _MEMORY_S
        return max(self._rate, _USUAL_RATE) if stale else self._rate

    def _measure(self, work: int) -> None:
        now = self._clock()
        if now > self._flood_until:
            self._slots = SLOTS
        if not self._order:
            self._window_began, self._window_done = now, 0
            return
        self._window_done += work
        took_s = now - self._window_began
        if took_s >= _WINDOW_S:
            self._rate = max(_SLOWEST_RATE, (self._current_rate() + self._window_done / took_s) / 2)
            self._measured_at = now
            self._window_began, self._window_done = now, 0
