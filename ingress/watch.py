"""
What lately came to which range of numbers, provider by provider: bounded samples, and no I/O.

Of each range that several messages went to some are kept, with the last digits of their numbers and their ids, by which
it can be found out later how their calls ended. A sample is kept for its time once it is full: what ended badly is
found out minutes after it came, however fast the others follow.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: The window, in seconds; counts are of this one and the one before.
WINDOW_S: Final = 600
#: Messages to a range within two windows from which on it has a sample; and the sizes of samples.
SAMPLED_FROM: Final = 8
SAMPLE: Final = 64
#: Ranges with a sample, ranges that are counted and providers, at most.
MOST_SAMPLES: Final = 256
MOST_RANGES: Final = 20_000
MOST_PROVIDERS: Final = 1000
#: Messages that wait to be looked at, at most.
_MOST_WAITING: Final = 20_000
#: How much of a range's usual share a window makes up.
_LEARNING: Final = 0.2


class Seen(NamedTuple):
    """One message that was stored."""

    at: float
    id: str
    provider_id: str
    range_key: bytes
    shown: str  # the range as "+2357012****"
    tail: int  # the last four digits
    country: str
    mode: str  # how its provider is looked at


@dataclass(slots=True)
class Sample:
    """Some of the messages to one range."""

    first: Seen
    kept: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)  # id -> when it came, last digits


@dataclass(frozen=True, slots=True)
class Candidate:
    """A range that is worth a look."""

    seen: Seen
    messages: int  # in this window and the one before, seen by this process
    share: float  # of the provider's messages
    usual_share: float
    tails: tuple[int, ...]
    ids: tuple[str, ...]
    other_ids: tuple[str, ...]  # of the provider's messages to ranges that are not called often


@dataclass(slots=True)
class _Provider:
    total: int = 0
    before_total: int = 0
    counts: dict[bytes, int] = field(default_factory=dict)
    before: dict[bytes, int] = field(default_factory=dict)
    usual: dict[bytes, float] = field(default_factory=dict)
    others: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    window: int = 0


class Watch:
    """The samples of one process. :meth:`saw` is for the hot path; the rest is one thread's."""

    def __init__(self) -> None:
        self._waiting: deque[Seen] = deque(maxlen=_MOST_WAITING)
        self._providers: OrderedDict[str, _Provider] = OrderedDict()
        self._samples: OrderedDict[tuple[str, bytes], Sample] = OrderedDict()
        self._lock = threading.Lock()

    def saw(self, seen: Seen) -> None:
        """A message was stored."""
        self._waiting.append(seen)

    def candidates(self, now: float) -> list[Candidate]:
        """Ranges with a sample."""
        with self._lock:
            while self._waiting:
                self._take(self._waiting.popleft())
            return [
                self._candidate(provider, sample)
                for key, sample in self._samples.items()
                if sample.first.mode != "off"
                and (provider := self._providers.get(key[0])) is not None
                and _forget(sample.kept, now)
            ]

    def forget(self, provider_id: str, range_key: bytes) -> None:
        """Begin anew with a range."""
        with self._lock:
            self._samples.pop((provider_id, range_key), None)

    def _take(self, seen: Seen) -> None:
        provider = self._provider(seen)
        provider.total += 1
        if len(provider.counts) < MOST_RANGES // 10 or seen.range_key in provider.counts:
            provider.counts[seen.range_key] = provider.counts.get(seen.range_key, 0) + 1
        came = provider.counts.get(seen.range_key, 0) + provider.before.get(seen.range_key, 0)
        if came < SAMPLED_FROM:
            _keep(provider.others, seen)
            return
        key = (seen.provider_id, seen.range_key)
        sample = self._samples.get(key)
        if sample is None:
            while len(self._samples) >= MOST_SAMPLES:
                self._samples.popitem(last=False)
            sample = self._samples[key] = Sample(seen)
        self._samples.move_to_end(key)
        if sample.first.mode != seen.mode:
            sample.first = seen
        _keep(sample.kept, seen)

    def _provider(self, seen: Seen) -> _Provider:
        window = int(seen.at // WINDOW_S)
        provider = self._providers.get(seen.provider_id)
        if provider is None:
            while len(self._providers) >= MOST_PROVIDERS:
                self._providers.popitem(last=False)
            provider = self._providers[seen.provider_id] = _Provider(window=window)
        if provider.window < window:
            _turn(provider, window)
        return provider

    def _candidate(self, provider: _Provider, sample: Sample) -> Candidate:
        key = sample.first.range_key
        messages = provider.counts.get(key, 0) + provider.before.get(key, 0)
        return Candidate(
            seen=sample.first,
            messages=messages,
            share=messages / max(1, provider.total + provider.before_total),
            usual_share=provider.usual.get(key, 0.0),
            tails=tuple(tail for _, tail in sample.kept.values()),
            ids=tuple(sample.kept),
            other_ids=tuple(provider.others),
        )


def _keep(sample: OrderedDict[str, tuple[float, int]], seen: Seen) -> None:
    """Into the sample while there is room: its oldest go when their time is over, and not before."""
    if len(sample) >= SAMPLE:
        oldest_at, _ = next(iter(sample.values()))
        if seen.at - oldest_at < WINDOW_S:
            return
        sample.popitem(last=False)
    sample[seen.id] = (seen.at, seen.tail)


def _forget(sample: OrderedDict[str, tuple[float, int]], now: float) -> bool:
    """Let go of what came long ago; whether anything is left."""
    while sample and now - next(iter(sample.values()))[0] > 3 * WINDOW_S:
        sample.popitem(last=False)
    return bool(sample)


def _turn(provider: _Provider, window: int) -> None:
    """Another window has begun: what was learnt of the last one is remembered."""
    if provider.total:
        shares = {key: count / provider.total for key, count in provider.counts.items()}
        usual = {
            key: (1 - _LEARNING) * provider.usual.get(key, 0.0) + _LEARNING * shares.get(key, 0.0)
            for key in shares.keys() | provider.usual.keys()
        }
        provider.usual = {key: share for key, share in usual.items() if share > 0.005}
    is_next = provider.window == window - 1
    provider.before, provider.before_total = (provider.counts, provider.total) if is_next else ({}, 0)
    provider.counts, provider.total, provider.window = {}, 0, window
