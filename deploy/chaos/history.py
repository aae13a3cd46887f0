"""The history of a drill: one JSON line an event, written by several processes on one clock, each to its own file."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from deploy.chaos.records import Event, Kind

_MARGINS: Final = frozenset({"at", "wall", "kind"})


class History:
    """A file of events, as a context manager; every line is with the kernel when ``note`` returns."""

    def __init__(self, path: Path, began: float | None = None) -> None:
        """
        Args:
            path: Appended to.
            began: The drill's start by ``time.monotonic()``, which all processes of a machine share; None for now.
        """
        self.path: Final = path
        self.began: Final = time.monotonic() if began is None else began
        self._turn = threading.Lock()
        self._file = path.open("a", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._file.close()

    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def note(self, kind: Kind, **facts: Any) -> None:
        """Write an event down. One that comes after the end, from a thread that is late, is dropped."""
        line = json.dumps({"at": round(self.now_s(), 9), "wall": round(time.time(), 4), "kind": kind, **facts})
        with self._turn:
            if not self._file.closed:
                self._file.write(line + "\n")


def read(paths: Iterable[Path]) -> tuple[Event, ...]:
    """Every event of these files in the order of time. A line that its writer's death cut off is left out."""
    events = []
    for path in paths:
        for line in path.read_text().splitlines():
            try:
                known = json.loads(line)
            except ValueError:
                continue
            facts = {name: value for name, value in known.items() if name not in _MARGINS}
            events.append(Event(kind=Kind(known["kind"]), at_s=known["at"], wall=known["wall"], facts=facts))
    return tuple(sorted(events, key=lambda event: event.at_s))
