"""
How fast to dial, and how many calls to have up: what 8x8 bears is not published, so it is found out.

Pure. The state is the subaccount's row, so it holds over all processes. A refusal cuts here, in Python; the claim
lets both values grow again in its own statement, as the same formulas in SQL (``shared.db.queries.claim``), without
any timer. The words: *lines* are calls in flight that the trunk bears, *pace* is dials a second that 8x8 takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.retry_policy import MAX_DIAL_RETRY_AFTER_S


@dataclass(frozen=True, slots=True)
class Pace:
    """What limits a claim, as far as settings say: the upper bounds."""

    subaccount_id: str
    dials_per_second: float
    max_in_flight: int
    lease_s: float
    ring_s: float
    daily_calls: int | None = None  # of all providers together, by UTC's day; None: any number
    provider_daily_calls: int | None = None  # of one that has no number of its own


#: A refusal takes one step back: a line, or this share of many lines.
STEP: Final = 0.01
#: So many dials at the limit take one forward, or as many as there are lines, which is a call's length: at rest one
#: call in 250 is refused, and of many lines few are tried before the first refusal is reported.
DIALS_A_STEP: Final = 250
#: One report takes no more than the rest: calls that ended since would make what is in flight look too small.
LEAST: Final = 0.5
#: Older reports of a refusal say nothing of the calls in flight now, in seconds.
FRESH_S: Final = 10.0
#: Lines that each dial at the limit adds below what was refused: what a cut took too much is back within a call's
#: length. Less than one, as a claim that adds lines and takes them must come to its end.
BACK: Final = 1 / 2
#: Near is from this share of the lines that were refused, a line less at least.
NEAR_FROM: Final = 0.97
#: Beyond what was refused by more than a step, growth doubles with each further step, up to so many lines a dial: a
#: trunk that has grown is found in a number of dials, however long its calls are.
QUICK: Final = 1 / 8
#: Bulk lanes fill a part of the lines only: beyond what was refused they prove nothing, until it is long ago.
FORGOTTEN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Lines:
    """Calls in flight that the trunk bears, and those that it was last seen to refuse."""

    bears: float
    refused: float


def cut_lines(lines: float, *, in_flight: int, is_new: bool, is_fresh: bool) -> Lines | None:
    """
    What the trunk bears after it refused calls; None when the report changes nothing.

    What was refused is what it seemed to bear, not what is in flight: of short calls many have ended when the report
    comes, and growth back to what was refused is quick.

    Args:
        lines: What it seemed to bear.
        in_flight: Calls up now, without the refused ones.
        is_new: One of them was dialled after the last cut: only then it tells that this cut was not enough.
        is_fresh: One of them was dialled just now, so that *in_flight* is what the trunk was bearing.
    """
    bears = lines - _step(lines) if is_new else lines
    if is_fresh:
        bears = min(bears, max(lines * LEAST, in_flight))
    bears = max(1.0, bears)
    if bears >= lines and not (is_new and lines <= 1):
        return None
    return Lines(bears, lines)


def grown_lines(lines: float, refused: float, *, dials: int) -> float:
    """Lines after *dials* more that met the limit: quickly up to near what was refused, slowly there, then quicker."""
    near = min(NEAR_FROM * refused, refused - 1)
    if lines < near:
        return min(near, lines + dials * BACK)
    step = _step(lines)
    steps_beyond = min(max((lines - refused) / step - 1, 0), 30)
    return lines + dials * min(QUICK, step / max(DIALS_A_STEP, lines) * 2**steps_beyond)


def _step(lines: float) -> float:
    return max(1.0, STEP * lines)


#: A 429 takes this share of the pace. After *PACE_HEALS_S* it is back at what was refused, flat there, then steep:
#: the curve is TCP CUBIC's, and needs no state but the time and the pace of the refusal.
PACE_CUT: Final = 0.2
PACE_HEALS_S: Final = 60.0
#: The longest Retry-After that is honoured, in seconds.
LONGEST_HOLD_S: Final = MAX_DIAL_RETRY_AFTER_S
#: However often 8x8 says 429, in dials a second.
SLOWEST: Final = 0.2


def dials_per_second(allowed: float, refused: float | None, *, quiet_s: float) -> float:
    """The pace now, *quiet_s* after 8x8 refused a pace of *refused*; at most what the setting allows."""
    if refused is None:
        return allowed
    healed = refused * (1 + PACE_CUT * (quiet_s / PACE_HEALS_S - 1) ** 3)
    return min(allowed, max(SLOWEST, healed))


#: The bucket holds this many seconds of dials: what a pause may save up.
BURST_S: Final = 0.2
#: Lanes other than otp leave this share of the lines and of the bucket alone.
OTP_RESERVE: Final = 0.2
#: An otp is waited for as long as somebody has looked for one within this time, in seconds.
OTP_CLAIMED_S: Final = 2.0


def burst(pace: float) -> float:
    """Dials that the bucket holds at a *pace*."""
    return max(1.0, pace * BURST_S)
