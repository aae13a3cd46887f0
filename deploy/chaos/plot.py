"""A drill's timeline as a picture: what came and went each second, what was open, and when what was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from deploy.chaos.records import Event, Evidence, Kind, Outcome

_INCHES: Final = (10.0, 6.0)
_KILLS: Final = "#d62728"
_FAULTS: Final = "#ff7f0e"


def per_second(moments: Iterable[float], seconds: int) -> list[int]:
    """How many fell into each second from 0 on."""
    counted = Counter(int(moment) for moment in moments if moment >= 0)
    return [counted[second] for second in range(seconds)]


def curves(evidence: Evidence) -> dict[str, list[int]]:
    """What happened each second, by what it was."""
    history = evidence.history
    began = next(event for event in history if event.kind is Kind.BEGAN)
    since = began.wall - began.at_s
    accepted = [event.at_s for event in history if event.kind is Kind.SUBMIT and event.facts["outcome"] == Outcome.OK]
    finals = [row.finished_at - since for row in evidence.rows if row.finished_at is not None]
    told = [delivery.at - since for delivery in evidence.deliveries]
    seconds = int(max([*accepted, *finals, *told, *(event.at_s for event in history)], default=0)) + 1
    return {
        "accepted": per_second(accepted, seconds),
        "final": per_second(finals, seconds),
        "called back": per_second(told, seconds),
    }


def draw(evidence: Evidence, title: str, path: Path) -> Path | None:
    """Draw it as SVG; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "ringpost"
    from matplotlib import pyplot as plt

    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=_INCHES, layout="constrained", sharex=True, height_ratios=(3, 2)
    )
    for name, counts in curves(evidence).items():
        upper.plot(range(len(counts)), counts, label=name, linewidth=1)
    backlog = [(event.at_s, event.facts["open"]) for event in evidence.history if event.kind is Kind.BACKLOG]
    if backlog:
        lower.plot(*zip(*backlog, strict=True), color="black", linewidth=1)
    for axes in (upper, lower):
        mark(axes, evidence.history)
        axes.grid(visible=True, alpha=0.3)
        axes.set_ylim(bottom=0)
    upper.set_title(title)
    upper.set_ylabel("a second")
    upper.legend(loc="upper right")
    lower.set_ylabel("open messages")
    lower.set_xlabel("seconds; red: a process or an engine was killed, orange: a fault began")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def mark(axes: Any, history: Iterable[Event]) -> None:
    """Show when what was broken."""
    for event in history:
        if event.kind is Kind.KILL:
            is_engine = not event.facts.get("role")
            axes.axvline(
                event.at_s, color=_KILLS, alpha=0.9 if is_engine else 0.35, linewidth=1.5 if is_engine else 0.7
            )
        elif event.kind is Kind.FAULT_ON:
            axes.axvline(event.at_s, color=_FAULTS, alpha=0.7, linewidth=1)
