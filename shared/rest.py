"""Bigger batches under load, by a rest between them; none while little comes, so that nobody waits on a quiet day."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(slots=True)
class Rest:
    """
    How long to gather before the next batch, counted from the start of the last one.

    A batch costs about the same whatever its size, so many small ones waste the processor that senders wait for. The
    rest grows with the batch before: where fewer than ``1 / row_s`` rows a second come, batches and rests shrink to
    nothing; where more come, both grow until the rest reaches *longest_s*.
    """

    row_s: float  # seconds of rest for each row of the last batch
    longest_s: float
    most: int  # rows in a batch: one that is full gains nothing by a rest
    rows: int = 0  # of the last batch
    _until: float = 0.0

    def left_s(self) -> float:
        """Seconds to go on gathering."""
        return max(0.0, self._until - time.monotonic())

    def after(self, rows: int, started_at: float) -> None:
        """
        A batch of *rows*, begun at *started_at* on the monotonic clock, is done.

        A lone row asks for no rest, nor do as many as may be.
        """
        self.rows = rows
        self._until = started_at + min(self.longest_s, self.row_s * rows) if 1 < rows < self.most else 0.0
