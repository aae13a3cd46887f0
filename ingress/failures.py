"""
How often somebody failed to log in, and when that is enough.

Each client address and each key id has a bucket that failures empty and time fills. Who has emptied the address's is
refused unread. The key id's counts whatever address guesses at it, but holds back only addresses that have failed at
that key themselves: guessing from elsewhere must not lock its owner out. Whoever opened the door before with the very
same secret is never held back, see :mod:`ingress.auth`.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, Generic, TypeVar

import structlog

from shared.ids import is_id

K = TypeVar("K", bound=Hashable)

#: Buckets of each kind at most; beyond, the one that failed least lately is forgotten.
_MOST: Final = 10_000
_MINUTE_S: Final = 60.0
#: Pause between two lines in the log, in seconds.
_LOG_S: Final = 10.0
_IPV6_NETWORK: Final = 64

log = structlog.get_logger()


_may_be_key: Final = partial(is_id, "key")


class Failures:
    """Of one process. Takes no lock and no look-up where nobody failed lately."""

    def __init__(
        self,
        per_minute: int,
        *,
        most: int = _MOST,
        now: Callable[[], float] = time.monotonic,
        counts: Callable[[str], bool] = _may_be_key,
        event: str = "login_failed",
    ) -> None:
        """
        Args:
            per_minute: Failures that a bucket holds, and that come back in a minute.
            most: Buckets of each kind.
            now: A clock that never goes back, in seconds.
            counts: Whether what was given for a key id could be one, and has a bucket.
            event: What the log calls it.
        """
        self._now = now
        self._lock = threading.Lock()
        self._clients: _Buckets[str] = _Buckets(per_minute, most)
        self._keys: _Buckets[str] = _Buckets(per_minute, most)
        self._pairs: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._most = most
        self._counts = counts
        self._event = event
        self._logged_at = -_LOG_S
        self._failed = self._refused = 0
        self.last_at: float | None = None  # None: nobody failed within the last minute

    def wait_s(self, client_ip: str, key_id: str) -> float:
        """Seconds until the client may try again with that key; 0 for now."""
        if self.last_at is None:
            return 0.0
        client, now = _network(client_ip), self._now()
        with self._lock:
            if now - self.last_at > _MINUTE_S:  # every bucket is full again
                self._forget()
                return 0.0
            wait_s = self._clients.wait_s(client, now)
            if (client, key_id) in self._pairs:
                wait_s = max(wait_s, self._keys.wait_s(key_id, now))
            if wait_s:
                self._refused += 1
        return wait_s

    def note(self, client_ip: str, key_id: str) -> None:
        """The client failed with that key, whether there is one or not."""
        client, now = _network(client_ip), self._now()
        with self._lock:
            self.last_at = now
            self._failed += 1
            self._clients.take(client, now)
            if self._counts(key_id):
                self._keys.take(key_id, now)
                self._pairs[client, key_id] = now
                self._pairs.move_to_end((client, key_id))
                while len(self._pairs) > self._most:
                    self._pairs.popitem(last=False)
            self._tell(client_ip, key_id, now)

    def _forget(self) -> None:
        self.last_at = None
        self._clients.clear()
        self._keys.clear()
        self._pairs.clear()

    def _tell(self, client_ip: str, key_id: str, now: float) -> None:
        """Who failed last and how many did since the last line; never what they tried with."""
        if now - self._logged_at < _LOG_S:
            return
        self._logged_at = now
        known = key_id if is_id("key", key_id) else None
        counts = {"failures": self._failed, "held_back": self._refused}
        log.warning(self._event, client=client_ip, key_id=known, **counts)
        self._failed = self._refused = 0

    def __len__(self) -> int:
        return len(self._clients) + len(self._keys) + len(self._pairs)


class _Buckets(Generic[K]):
    """By name what is left and when that was so; one that is not there is full."""

    def __init__(self, size: int, most: int) -> None:
        self._size = size
        self._per_s = size / _MINUTE_S
        self._most = most
        self._left: OrderedDict[K, tuple[float, float]] = OrderedDict()

    def take(self, name: K, now: float) -> None:
        self._left[name] = (max(0.0, self._held(name, now) - 1), now)
        self._left.move_to_end(name)
        while len(self._left) > self._most:
            self._left.popitem(last=False)

    def wait_s(self, name: K, now: float) -> float:
        return max(0.0, (1 - self._held(name, now)) / self._per_s)

    def _held(self, name: K, now: float) -> float:
        left, at = self._left.get(name, (float(self._size), now))
        return min(self._size, left + (now - at) * self._per_s)

    def clear(self) -> None:
        self._left.clear()

    def __len__(self) -> int:
        return len(self._left)


def _network(client_ip: str) -> str:
    """Whoever has one address of IPv6 has all of its network."""
    if ":" not in client_ip:
        return client_ip
    try:
        address = ipaddress.IPv6Address(client_ip.partition("%")[0])
    except ValueError:
        return client_ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _IPV6_NETWORK), strict=False))
