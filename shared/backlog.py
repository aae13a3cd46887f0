"""What waits to be dialled and what limits the dialling, as it was at one moment. Pure: facts, no conclusions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: A lane and a provider: one queue, dialled by deadline.
Queue = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Due messages of one queue with about the same deadline."""

    count: int
    earliest: float
    latest: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """Times are seconds since 1970 by the database's clock."""

    at: float
    pace: float  # dials a second that are allowed
    lines: float  # calls in flight that are allowed
    waiting: Mapping[Queue, tuple[Waiting, ...]] = field(default_factory=dict)
    flying: Mapping[str, int] = field(default_factory=dict)  # calls in flight by provider
    dialed: int = 0  # since ever
    last_dials: Mapping[str, float] = field(default_factory=dict)  # by lane, among the newest calls
    held_until: float = 0.0  # nobody dials before
    paused: frozenset[str] = frozenset()  # lanes, by an operator
    probe_at: float | None = None  # 8x8 refuses the account; it is tried again then
    source_probe_at: Mapping[str, float] = field(default_factory=dict)  # the same for caller ids
    quick_s: float | None = None  # from accepting to dialling, of the newest calls

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return sum(self.flying.values())

    def last_dial(self, lanes: Iterable[str]) -> float:
        """When the last call of these lanes began; 0 if that was long ago."""
        return max((self.last_dials.get(lane, 0.0) for lane in lanes), default=0.0)

    def waits(self, lanes: Iterable[str]) -> int:
        """How many wait in these lanes."""
        return sum(one.count for (lane, _), classes in self.waiting.items() if lane in lanes for one in classes)
