"""What happened to each message, and when, all on one clock."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

from deploy.bench.figures import Spread, curve, per_second, spread

_NEVER: Final = math.nan
#: Every load takes phones of its own from here on; +65 8… are Singapore's mobiles.
FIRST_PHONE: Final = 6581000000

#: The moments of a message, in their order.
MOMENTS: Final = ("due", "accepted", "dialled", "reported", "acknowledged", "called")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a load came to. Rates are per second from the first message's due time, latencies in milliseconds."""

    count: int
    reached: dict[str, int]  # moment -> messages that came so far
    statuses: dict[str, int]  # of the submissions; "0" got no answer
    doubled_dials: int
    doubled_callbacks: int
    refused: Spread | None  # how long a refusal took
    refused_without_retry_after: int
    lateness: Spread | None  # of the generator: from a message's due time to its sending
    rates: dict[str, float | None]  # moment -> messages a second
    from_first: dict[str, float | None]  # the same, from that moment's own first
    latencies: dict[str, Spread | None]
    curves: dict[str, list[tuple[float, int]]]
    generator_ms: float  # processor time of the generator per message

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Self:
        """From JSON."""
        spreads = {name: Spread(**value) if value else None for name, value in plain["latencies"].items()}
        known = {name: Spread(**plain[name]) if plain[name] else None for name in ("refused", "lateness")}
        return cls(**{**plain, "latencies": spreads, **known})

    def latency(self, name: str) -> Spread:
        """The spread of a latency; infinite when nothing was measured, so that no goal is met by silence."""
        return self.latencies.get(name) or Spread(0, math.inf, math.inf, math.inf, math.inf)


#: Latency -> from and to which moment.
LATENCIES: Final = {
    "accept": ("due", "accepted"),
    "accept_to_dial": ("accepted", "dialled"),
    "due_to_dial": ("due", "dialled"),
    "report_ack": ("reported", "acknowledged"),
    "report_to_callback": ("reported", "called"),
    "due_to_callback": ("due", "called"),
}


@dataclass(slots=True)
class Ledger:
    """The messages of one load: their phones follow each other from ``first_phone``, their ids are ``prefix-N``."""

    prefix: str
    first_phone: int
    count: int
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: list[float] = field(default_factory=list)
    refused_without_retry_after: int = 0
    lateness: list[float] = field(default_factory=list)
    changed_at: float = 0.0
    spent_s: float = 0.0  # the generator's processor time
    moments: dict[str, array[float]] = field(init=False)
    dials: array[int] = field(init=False)
    callbacks: array[int] = field(init=False)
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.moments = {name: array("d", [_NEVER]) * self.count for name in MOMENTS}
        self.dials = array("i", [0]) * self.count
        self.callbacks = array("i", [0]) * self.count

    def note(self, moment: str, number: int, at: float) -> bool:
        """Write the first time of a moment down; False for a repetition."""
        times = self.moments[moment]
        self.changed_at = at
        if times[number] == times[number]:
            return False
        times[number] = at
        self.done[moment] += 1
        return True

    def message_id(self, number: int) -> str:
        """The provider's id of a message."""
        return f"{self.prefix}-{number}"

    def report(self) -> Report:
        """Everything that is told about the load."""
        since = min(self._known("due"), default=0.0)
        return Report(
            count=self.count,
            reached={name: self.done[name] for name in MOMENTS},
            statuses={str(status): count for status, count in self.statuses.items()},
            doubled_dials=sum(max(0, times - 1) for times in self.dials),
            doubled_callbacks=sum(max(0, times - 1) for times in self.callbacks),
            refused=spread(1000 * seconds for seconds in self.refusals),
            refused_without_retry_after=self.refused_without_retry_after,
            lateness=spread(1000 * seconds for seconds in self.lateness),
            rates={name: per_second(self._known(name), since) for name in MOMENTS},
            from_first={name: per_second(self._known(name)) for name in MOMENTS},
            latencies={name: spread(self.samples(name)) for name in LATENCIES},
            curves={name: curve(self._known(name)) for name in ("accepted", "dialled", "called")},
            generator_ms=1000 * self.spent_s / max(1, self.count),
        )

    def samples(self, latency: str) -> Iterator[float]:
        """Every measured value of a latency."""
        begin, end = LATENCIES[latency]
        pairs = zip(self.moments[begin], self.moments[end], strict=True)
        return (1000 * (to - at) for at, to in pairs if not math.isnan(at) and not math.isnan(to))

    def _known(self, moment: str) -> Iterator[float]:
        return (at for at in self.moments[moment] if not math.isnan(at))


class Ledgers:
    """The loads of this process, found by a phone or by a message's id."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, Ledger] = {}
        self._ranges: list[tuple[int, int, Ledger]] = []

    def open(self, ledger: Ledger) -> Ledger:
        """Take one more in; the newest is found first."""
        self._by_prefix[ledger.prefix.encode()] = ledger
        self._ranges.insert(0, (ledger.first_phone, ledger.first_phone + ledger.count, ledger))
        return ledger

    def forget(self, ledger: Ledger) -> None:
        """Let go of one: what still comes for it is nobody's."""
        self._by_prefix.pop(ledger.prefix.encode(), None)
        self._ranges = [known for known in self._ranges if known[2] is not ledger]

    def of_phone(self, phone: int) -> tuple[Ledger, int] | None:
        """Whose phone it is, and the message's number."""
        for first, end, ledger in self._ranges:
            if first <= phone < end:
                return ledger, phone - first
        return None

    def of_id(self, prefix: bytes) -> Ledger | None:
        """Whose messages have such ids."""
        return self._by_prefix.get(prefix)
