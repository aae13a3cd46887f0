"""
How much came lately: to one number, to one range of numbers, from one provider. Pure; times come in as arguments.

Of a number the moments are kept, so that its limits are exact; of ranges and providers, sliding counts. All of it is
this process's knowledge, with what others told through :mod:`ingress.sharing`; it is bounded, and what it forgets
Redis still knows.

``limits``, the library, asks its storage at each hit: a round trip on the way of each request, and nothing at all
while Redis is away.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared.sending_rules import Limit

#: Numbers and counts that are remembered here at most.
MOST_NUMBERS: Final = 20_000
#: Moments told to Redis in one go: all that gathered while it was away would keep it busy for seconds.
_TOLD_AT_ONCE: Final = 500
MOST_COUNTS: Final = 10_000
#: Moments of one number that are worth keeping.
MOST_MOMENTS: Final = 1000

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


class Asked(NamedTuple):
    """One message, and what holds for it; 0 and () stand for no limit."""

    number: bytes  # keyed hash of provider and number
    prefix: str  # names the provider and the keyed hash of its range
    provider: str
    number_limits: Sequence[Limit]
    prefix_per_hour: int
    messages_per_minute: int


@dataclass(frozen=True, slots=True)
class Full:
    """A limit that is reached."""

    code: str
    limit: int
    period_s: int
    retry_after_s: int


#: Code, name, period in seconds and limit of what is counted beside the number.
_Wanted = list[tuple[str, str, int, int]]


class Taken(NamedTuple):
    """A message that was counted; to be kept or given back."""

    asked: Asked
    moment: int  # ms since 1970
    counted: _Wanted


#: A number, when a message to it came (ms since 1970), and the number's limits.
Moment = tuple[bytes, int, Sequence[Limit]]


@dataclass(slots=True)
class _Count:
    """Of one period and of the one before it."""

    place: int  # which period
    before: int = 0
    total: int = 0  # ours and, as far as is known, the others'
    untold: int = 0  # of ours, what the others do not know yet


@dataclass(slots=True)
class Untold:
    """What the other processes do not know yet."""

    moments: list[Moment] = field(default_factory=list)
    counts: list[tuple[str, int, int, int]] = field(default_factory=list)  # name, period in s, its place, how many


class Velocity:
    """Counts what is let in, and says what is too much."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moments: dict[bytes, tuple[int, ...]] = {}
        self._full: dict[bytes, tuple[int, ...]] = {}  # numbers at a limit outlast the others here
        self._counts: dict[tuple[str, int], _Count] = {}
        self._untold_moments: list[Moment] = []
        self._untold_counts: set[tuple[str, int]] = set()

    def take(self, asked: Asked, now: float) -> Taken | Full:
        """Count one message at *now* (s since 1970), unless a limit is reached: then nothing is counted."""
        moment = int(now * 1000)
        with self._lock:
            moments = self._full.get(asked.number) or self._moments.get(asked.number, ())
            if asked.number_limits and (full := _full_number(moments, asked.number_limits, moment)):
                return full
            wanted = _counted(asked)
            for code, name, period_s, limit in wanted:
                if full := self._full_count(code, (name, period_s), limit, now):
                    return full
            if asked.number_limits:
                while moment in moments:
                    moment += 1
                self._remember(asked.number, (*moments, moment))
            for _, name, period_s, _ in wanted:
                self._count((name, period_s), now).total += 1
            return Taken(asked, moment, wanted)

    def keep(self, taken: Taken) -> None:
        """The message is stored: the others are to know of it."""
        asked = taken.asked
        with self._lock:
            if asked.number_limits:
                self._untold_moments.append((asked.number, taken.moment, asked.number_limits))
            for _, name, period_s, _ in taken.counted:
                key = (name, period_s)
                self._count(key, taken.moment / 1000).untold += 1
                self._untold_counts.add(key)

    def give_back(self, taken: Taken) -> None:
        """The message is not stored, or was before: it counts for nothing."""
        asked = taken.asked
        with self._lock:
            for known in (self._moments, self._full):
                if moments := known.get(asked.number):
                    known[asked.number] = tuple(one for one in moments if one != taken.moment)
            for _, name, period_s, _ in taken.counted:
                count = self._counts.get((name, period_s))
                if count is not None and count.place == int(taken.moment / 1000 // period_s):
                    count.total = max(count.untold, count.total - 1)

    def untold(self) -> Untold:
        """What is to be told, once; of much the oldest part, as Redis does nothing else meanwhile."""
        with self._lock:
            told = Untold(self._untold_moments[:_TOLD_AT_ONCE])
            del self._untold_moments[:_TOLD_AT_ONCE]
            for key in self._untold_counts:
                count = self._counts.get(key)
                if count is not None and count.untold:
                    told.counts.append((*key, count.place, count.untold))
                    count.untold = 0
            self._untold_counts.clear()
            return told

    def tell_again(self, moments: Iterable[Moment]) -> None:
        """Nobody heard of these; counts would be added twice where only the answer was lost, moments are not."""
        with self._lock:
            self._untold_moments = [*moments, *self._untold_moments][-MOST_NUMBERS:]

    def hear_moments(self, number: bytes, moments: Iterable[int], limits: Sequence[Limit]) -> None:
        """All that is known of a number anywhere."""
        with self._lock:
            known = {*moments, *self._moments.get(number, ()), *self._full.get(number, ())}
            merged = tuple(sorted(known)[-MOST_MOMENTS:])
            self._remember(number, merged, is_full=any(_reached(merged, limit) for limit in limits))

    def hear_count(self, name: str, period_s: int, place: int, total: int) -> None:
        """What all processes have counted in one period."""
        with self._lock:
            count = self._counts.get((name, period_s))
            if count is not None and count.place == place:
                count.total = max(count.total, total + count.untold)

    def _remember(self, number: bytes, moments: tuple[int, ...], *, is_full: bool = False) -> None:
        known = self._moments
        if is_full or number in self._full:
            known.pop(number, None)
            known = self._full
        known.pop(number, None)  # the newest stand last
        if len(known) >= MOST_NUMBERS:
            del known[next(iter(known))]
        known[number] = moments if len(moments) <= MOST_MOMENTS else moments[-MOST_MOMENTS:]

    def _count(self, key: tuple[str, int], now: float) -> _Count:
        place = int(now // key[1])
        count = self._counts.get(key)
        if count is None:
            while len(self._counts) >= MOST_COUNTS:
                del self._counts[next(iter(self._counts))]
            count = self._counts[key] = _Count(place)
        elif count.place < place:
            before = count.total if count.place == place - 1 else 0
            count.place, count.before, count.total, count.untold = place, before, 0, 0
        return count

    def _full_count(self, code: str, key: tuple[str, int], limit: int, now: float) -> Full | None:
        count, period_s = self._count(key, now), key[1]
        if _sliding(count, period_s, now) + 1 <= limit:
            return None
        passed_s = max(0.0, now - count.place * period_s)
        if count.total < limit and count.before:  # the period before has to fade
            at_s = period_s * (1 - (limit - 1 - count.total) / count.before)
        else:
            at_s = period_s * (2 - (limit - 1) / max(1, count.total))
        return Full(code, limit, period_s, max(1, math.ceil(at_s - passed_s)))


def _counted(asked: Asked) -> _Wanted:
    counted: _Wanted = []
    if asked.prefix_per_hour:
        counted.append(("prefix_limit", asked.prefix, _HOUR_S, asked.prefix_per_hour))
    if asked.messages_per_minute:
        counted.append(("provider_limit", asked.provider, _MINUTE_S, asked.messages_per_minute))
    return counted


def _full_number(moments: tuple[int, ...], limits: Sequence[Limit], now: int) -> Full | None:
    """The limit that is open last of those that are reached."""
    found = None
    for count, seconds in limits:
        if len(moments) < count:
            continue
        left_s = math.ceil((moments[-count] - now) / 1000 + seconds)
        if left_s > 0 and (found is None or left_s > found.retry_after_s):
            found = Full("number_limit", count, seconds, left_s)
    return found


def _reached(moments: tuple[int, ...], limit: Limit) -> bool:
    count, seconds = limit
    return len(moments) >= count and moments[-1] - moments[-count] < seconds * 1000


def _sliding(count: _Count, period_s: int, now: float) -> float:
    """As if what came in the period before had come evenly."""
    return count.total + count.before * min(1.0, max(0.0, 1 - (now - count.place * period_s) / period_s))
