"""The verdict as people read it: at most a page. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deploy.bench.machine import Circumstances
from deploy.chaos.conductor import Played
from deploy.chaos.verdict import MEANS, Promise, Violation

_SHOWN: Final = 5  # ids of a violation
_MOST: Final = 12  # violations


def page(played: Played, around: Circumstances) -> str:
    """One drill's verdict, its seed and figures, and on what machine."""
    verdict = played.result.verdict
    lines = [
        f"# {played.programme.name}: {played.programme.title}",
        "",
        f"{'Every promise held.' if verdict.holds else 'BROKEN: ' + ', '.join(sorted(verdict.broken()))}",
        f"Seed {played.seed}, {played.took_s:.0f} s, {around.date}, commit {around.commit}, Python {around.python}.",
        f"{around.machine}.",
        "",
        *(f"{name:<32} {value:>10}" for name, value in verdict.figures.items()),
        "",
        *(f"{promise} {'BROKEN' if promise in verdict.broken() else 'held'}: {MEANS[promise]}" for promise in Promise),
        "",
        *(line for violation in verdict.violations[:_MOST] for line in _told(violation)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _told(violation: Violation) -> Iterator[str]:
    yield f"{violation.promise}: {violation.what}" + (f" ({len(violation.ids)})" if violation.ids else "")
    if violation.ids:
        yield f"    {', '.join(violation.ids[:_SHOWN])}{', …' if len(violation.ids) > _SHOWN else ''}"
