"""
What a phone does when it is called, chosen by the last four digits of its number.

The suffixes are this simulator's own convention, not 8x8's; ``GET /sim/outcomes`` serves the same table.
A suffix names one behaviour per dial, and the last one repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final


class UnknownBehaviour(ValueError):
    """No behaviour has this name; the message lists those that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one dial goes. By default the phone rings as long as the settings say, answers and listens."""

    means: str
    session_status: str = "COMPLETED"
    is_answered: bool = True
    ring_s: float | None = None  # None: the simulator's ring time
    hangs_up_after_s: float | None = None  # counted from the answer
    keys: str = ""  # pressed one second apart, from the end of a sayAndCapture prompt on
    error_code: int | None = None  # before dialling, or on the first word when is_answered


def _unanswered(means: str, session_status: str, *, ring_s: float | None = None) -> Behaviour:
    return Behaviour(means=means, session_status=session_status, is_answered=False, ring_s=ring_s)


def _error(means: str, error_code: int) -> Behaviour:
    return Behaviour(means=means, session_status="ERROR", is_answered=False, error_code=error_code)


BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "completed": Behaviour(means="answers and listens to the end"),
    "busy": _unanswered("busy after 4 s", "BUSY", ring_s=4),
    "no_answer": _unanswered("rings for 45 s, nobody answers", "NO_ANSWER", ring_s=45),
    "failed": _unanswered("switched off or unreachable", "FAILED", ring_s=6),
    "canceled": _unanswered("ends while ringing", "CANCELED"),
    "internal_error": _error("8x8 fails before dialling (-2001)", -2001),
    "connectivity_error": _error("8x8 loses its own connection before dialling (-2002)", -2002),
    "no_coverage": _error("country not covered (-2004)", -2004),
    "validity_over": _error("8x8 comes to it after validUntil (-2007)", -2007),
    "caller_id_refused": _error("caller id not allowed at dial time (-2008)", -2008),
    "over_capacity": _error("no free trunk (-2010)", -2010),
    "unknown_error": _error("8x8 does not know why (-9999)", -9999),
    "not_synthesised": Behaviour(
        means="answers, but the text cannot be spoken (-2005)", session_status="ERROR", error_code=-2005
    ),
    "hangs_up_at_once": Behaviour(means="answers and hangs up after 1 s", hangs_up_after_s=1),
    "presses_5": Behaviour(means="answers and presses 5 when asked (sayAndCapture)", keys="5"),
    "voicemail": Behaviour(means="a voicemail box answers after 25 s and records it all", ring_s=25),
    "unsubscribed": _unanswered("on the opt-out list, never dialled", "UNSUBSCRIBED_CONTACT", ring_s=0),
    "opts_out": Behaviour(means="answers and opts out", session_status="COMPLETED_UNSUBSCRIBED"),
    "opt_out_lost": Behaviour(
        means="answers and opts out, which 8x8 cannot store", session_status="COMPLETED_UNSUB_ERROR"
    ),
    "unheard_of": Behaviour(means="answers; the summary carries a status nobody documented", session_status="DIVERTED"),
}

DEFAULT: Final = ("completed",)
SUFFIX_DIGITS: Final = 4
OUTCOMES: Final[dict[str, tuple[str, ...]]] = {
    "0001": ("busy",),
    "0002": ("no_answer",),
    "0003": ("failed",),
    "0004": ("canceled",),
    "0005": ("internal_error",),
    "0006": ("over_capacity", "completed"),
    "0007": ("hangs_up_at_once",),
    "0008": ("presses_5",),
    "0009": ("unsubscribed",),
    "0010": ("voicemail",),
    "0011": ("busy", "completed"),
    "0012": ("no_answer", "completed"),
    "0013": ("failed", "completed"),
    "0014": ("connectivity_error",),
    "0015": ("no_coverage",),
    "0016": ("validity_over",),
    "0017": ("caller_id_refused",),
    "0018": ("unknown_error",),
    "0019": ("not_synthesised",),
    "0020": ("opts_out",),
    "0021": ("opt_out_lost",),
    "0022": ("unheard_of",),
}


def behaviours_named(names: Iterable[str]) -> tuple[str, ...]:
    """Check a run-time plan; raises ``UnknownBehaviour`` when it is empty or names something unknown."""
    plan = tuple(names)
    unknown = [name for name in plan if name not in BEHAVIOURS]
    if unknown or not plan:
        raise UnknownBehaviour(f"unknown behaviour {unknown}; known are {', '.join(BEHAVIOURS)}")
    return plan


def behaviour_of(destination: str, *, dial: int, plan: tuple[str, ...] | None = None, by_suffix: bool = True) -> str:
    """Name what the phone does on its *dial*-th call (0 is the first); a *plan* wins over the suffix."""
    names = plan or (OUTCOMES.get(destination[-SUFFIX_DIGITS:], DEFAULT) if by_suffix else DEFAULT)
    return names[min(dial, len(names) - 1)]


def table() -> dict[str, Any]:
    """The convention as JSON, for people at a terminal."""
    return {
        "suffixDigits": SUFFIX_DIGITS,
        "default": list(DEFAULT),
        "outcomes": {suffix: list(names) for suffix, names in OUTCOMES.items()},
        "behaviours": {name: behaviour.means for name, behaviour in BEHAVIOURS.items()},
    }
