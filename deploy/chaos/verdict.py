"""Which promises held, and the figures beside them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Promise(StrEnum):
    """What Ringpost promises about faults."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"
    P5 = "P5"
    P6 = "P6"
    P7 = "P7"
    P8 = "P8"


MEANS: Mapping[Promise, str] = {
    Promise.P1: "an accepted message is never lost",
    Promise.P2: "no phone rings twice unasked",
    Promise.P3: "the final status comes in time and is true",
    Promise.P4: "the final callback arrives, under one id",
    Promise.P5: "losing anything costs seconds",
    Promise.P6: "messages are accepted whatever else is down",
    Promise.P7: "a call always gets its hang-up",
    Promise.P8: "no text outlives its call",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a promise was broken, and all that it happened to."""

    promise: Promise
    what: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker found; *figures* in the order in which they are told."""

    violations: tuple[Violation, ...]
    figures: Mapping[str, float | int | str]

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return not self.violations

    def broken(self) -> frozenset[Promise]:
        """The promises that did not hold."""
        return frozenset(violation.promise for violation in self.violations)


@dataclass(slots=True)
class Findings:
    """Violations as they are found, in any order; those of one kind become one."""

    _found: dict[tuple[Promise, str], set[str]] = field(default_factory=dict)

    def note(self, promise: Promise, what: str, ids: Iterable[str] = ()) -> None:
        """Add one."""
        self._found.setdefault((promise, what), set()).update(ids)

    def violations(self) -> tuple[Violation, ...]:
        """All of them, the same for every order of finding."""
        return tuple(Violation(*kind, tuple(sorted(ids))) for kind, ids in sorted(self._found.items()))
