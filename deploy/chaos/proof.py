"""What a thorough trial came to, whatever carried it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.bench.machine import Circumstances

_MOST: Final = 40  # faults on the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A trial that is over; it holds when nothing is at fault."""

    name: str
    title: str
    seed: int | None
    took_s: float
    figures: Mapping[str, float | int | str]
    faults: Sequence[str]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.faults


def page_of(proof: Proof, around: Circumstances) -> str:
    """The verdict as people read it: at most a page."""
    seed = "" if proof.seed is None else f"Seed {proof.seed}, "
    left = len(proof.faults) - _MOST
    lines = [
        f"# {proof.name}: {proof.title}",
        "",
        "Nothing was found." if proof.holds else f"BROKEN: {len(proof.faults)} findings",
        f"{seed}{proof.took_s:.0f} s, {around.date}, commit {around.commit}, Python {around.python}.",
        f"{around.machine}.",
        "",
        *(f"{name:<32} {value:>10}" for name, value in proof.figures.items()),
        "",
        *(f"{fault:.200}" for fault in proof.faults[:_MOST]),
        *([f"… and {left} more"] if left > 0 else []),
    ]
    return "\n".join(lines).rstrip() + "\n"
