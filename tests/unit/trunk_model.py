"""An endless queue against a trunk of hidden size, on a clock of its own: what the law of pacing comes to."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

from shared import pacing

#: A worker that has no room looks again so soon; reports are reconciled at this distance; a dial takes so long.
LOOK_S = 0.02
RECONCILED_S = 0.03
DIAL_S = 0.02
#: From the end of a call, or its refusal, to the report.
REPORT_S = 0.02
#: The most that a line idles between two calls: nobody can carry more than lines / (call + this).
NEWS_S = LOOK_S + RECONCILED_S + DIAL_S + 1.5 * REPORT_S
CLAIM = 64


@dataclass
class Model:
    """Whoever claims knows no more than what was reported and reconciled."""

    trunk: int
    call_s: float
    spread: float = 0.0  # of the calls' lengths
    most: float = 5000.0
    seed: int = 1
    now: float = 0.0
    dials: int = 0
    refusals: int = 0
    _up: int = 0
    _flying: int = 0
    _lines: float = 0.0
    _refused: float = 0.0
    _cut_at: float = -1.0
    _looks: bool = True
    _ended: list[float] = field(default_factory=list)
    _bounced: list[float] = field(default_factory=list)

    def __post_init__(self):
        self._luck = random.Random(self.seed)
        self._events, self._order = [], itertools.count()
        self._lines = self._refused = self.most
        self._later(0, self._claim)

    def run(self, seconds):
        """Go on for so long: the calls carried, of what the trunk carries at best, and the share refused."""
        dials, refusals, stop_at = self.dials, self.refusals, self.now + seconds
        while self._events[0][0] < stop_at:
            self.now, _, act, asked = heapq.heappop(self._events)
            act(*asked)
        self.now = stop_at
        dials, refusals = self.dials - dials, self.refusals - refusals
        best = self.trunk * seconds / (self.call_s + NEWS_S)
        return (dials - refusals) / best, refusals / max(1, dials)

    def rounds(self, calls):
        """How long a trunk in full use takes for so many calls, and for ten on each line at least."""
        return max(10, calls / self.trunk) * self.call_s

    def _later(self, after_s, act, *asked):
        heapq.heappush(self._events, (self.now + after_s, next(self._order), act, asked))

    def _claim(self):
        taken = max(0, min(int(self._lines) - self._flying, CLAIM))
        self._flying += taken
        for _ in range(taken):
            self._later(self._luck.uniform(0.1, 1) * DIAL_S, self._dial, self.now)
        if taken and self._flying >= int(self._lines):
            self._lines = min(self.most, pacing.grown_lines(self._lines, self._refused, dials=taken))
        if taken:
            self._later(0.003 if taken == CLAIM else LOOK_S, self._claim)
        self._looks = bool(taken)

    def _dial(self, claimed_at):
        self.dials += 1
        if self._up < self.trunk:
            self._up += 1
            self._later(self.call_s * self._luck.uniform(1 - self.spread, 1 + self.spread), self._end)
        else:
            self.refusals += 1
            self._later(0.05 + self._luck.uniform(0.5, 1.5) * REPORT_S, self._report, self._bounced, claimed_at)

    def _end(self):
        self._up -= 1
        self._later(self._luck.uniform(0.5, 1.5) * REPORT_S, self._report, self._ended, self.now)

    def _report(self, kind, at):
        if not self._ended and not self._bounced:
            self._later(RECONCILED_S, self._reconcile)
        kind.append(at)

    def _reconcile(self):
        self._flying -= len(self._ended) + len(self._bounced)
        if self._bounced:
            dialled_at = max(self._bounced)
            cut = pacing.cut_lines(
                self._lines,
                in_flight=self._flying,
                is_new=dialled_at > self._cut_at,
                is_fresh=dialled_at > self.now - pacing.FRESH_S,
            )
            if cut is not None:
                self._lines, self._refused, self._cut_at = cut.bears, cut.refused, self.now
        self._ended.clear()
        self._bounced.clear()
        if not self._looks:
            self._looks = True
            self._later(LOOK_S, self._claim)
