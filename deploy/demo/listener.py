"""The processes' output on its way to the terminal, read along for what the demonstration waits for."""

from __future__ import annotations

import sys
import threading
import time
from io import TextIOBase


class Listener(TextIOBase):
    """A stream that passes everything on to standard output and remembers the receiver's lines."""

    def __init__(self) -> None:
        self._out = sys.stdout
        self._lines: list[str] = []
        self._changed = threading.Condition()

    def isatty(self) -> bool:
        """As standard output."""
        return self._out.isatty()

    def write(self, text: str) -> int:
        """Pass *text* on."""
        if " callback " in text:
            with self._changed:
                self._lines.append(text)
                self._changed.notify_all()
        return self._out.write(text)

    def flush(self) -> None:
        """As standard output."""
        self._out.flush()

    def heard(self, words: str, within_s: float) -> bool:
        """Whether a line with all of *words* came, or comes within so many seconds."""
        wanted = words.split()
        deadline = time.monotonic() + within_s
        with self._changed:
            return self._changed.wait_for(
                lambda: any(all(word in line for word in wanted) for line in self._lines),
                max(0.0, deadline - time.monotonic()),
            )
