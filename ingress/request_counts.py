"""How many requests each route got, how they ended and how long they took."""

from __future__ import annotations

import time
from typing import Final

from flask import Request

from ingress.environ import BEGAN, RESTS
from shared.counters import Counters, Series

#: Instead of a route: a path that is none of ours, and what was turned away unread. No path of a sender's names a
#: series.
UNROUTED: Final = "unrouted"
UNREAD: Final = "unread"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_OTHER: Final = "other"


class RequestCounts:
    """Of one process."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._known: dict[tuple[str, str, int], Series] = {}

    def answered(self, request: Request, status: int) -> None:
        """A request that came to the app: its time runs from when all of it was here, until it waits as it asked to."""
        rule, method, environ = request.url_rule, request.method, request.environ
        ended: float = environ.get(RESTS) or time.perf_counter()
        began: float = environ.get(BEGAN, ended)
        key = (UNROUTED if rule is None else rule.rule, method if method in _METHODS else _OTHER, status)
        series = self._known.get(key) or self._series(*key)
        series.observe(ended - began)

    def turned_away(self, status: int) -> None:
        """A request that did not come to the app, or broke it."""
        self._series(UNREAD, _OTHER, status).observe(0.0)

    def _series(self, route: str, method: str, status: int) -> Series:
        series = self._counters.durations("requests", route, method, f"{status // 100}xx")
        self._known[route, method, status] = series
        return series
