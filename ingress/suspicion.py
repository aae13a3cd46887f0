"""
When a range of numbers is called the way toll fraud calls. Pure.

Order or a crowd alone prove nothing: staff lists, small countries and tests number their phones in sequence, too. So a
range is suspected when it is called in sequence, or much more than others, *and* its calls end worse than the
provider's others do: nobody answers, people hang up, or codes that are used elsewhere are never used there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

#: A sequence has so many different numbers, of which this share lie no farther from the next one than this.
_SEQUENCE: Final = 24
_CLOSE_SHARE: Final = 0.8
_CLOSE: Final = 8
#: A crowd has so many messages, makes up this share of the provider's, and so many times its usual share.
_CROWD: Final = 50
_CROWD_SHARE: Final = 0.2
_CROWD_TIMES: Final = 3
#: Calls that have to have ended before anything is said of them.
_FEWEST: Final = 20
_FEWEST_UNHEARD: Final = 30
#: Where nothing is known of other calls, fewer than this share heard is bad.
_HARDLY_HEARD: Final = 0.1
#: Codes that are used at less than this rate elsewhere tell nothing.
_LEAST_USED: Final = 0.1
#: How many standard errors make a difference.
_ERRORS: Final = 3.5


@dataclass(frozen=True, slots=True)
class Calls:
    """What became of some messages."""

    ended: int = 0  # calls
    heard: int = 0
    short: int = 0  # of those heard: ended before the text was spoken once
    told_of: int = 0  # of those heard: long enough ago that the provider could tell whether the code was used
    verified: int = 0  # of those


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a range is called."""

    messages: int
    share: float
    usual_share: float
    tails: Sequence[int]


def is_sequence(tails: Sequence[int]) -> bool:
    """Whether these last digits lie so close together that they were counted up, by however many processes."""
    known = sorted(set(tails))
    if len(known) < _SEQUENCE:
        return False
    close = sum(after - before <= _CLOSE for before, after in pairwise(known))
    return close >= _CLOSE_SHARE * (len(known) - 1)


def is_crowd(pattern: Pattern) -> bool:
    """Whether it is called much more than others, and than it usually is."""
    return (
        pattern.messages >= _CROWD
        and pattern.share >= _CROWD_SHARE
        and pattern.share >= _CROWD_TIMES * pattern.usual_share
    )


def why(pattern: Pattern, calls: Calls, others: Calls, usual: Calls, *, strict: bool) -> str | None:
    """
    A sentence with figures if the range is to be quarantined, else None.

    Args:
        pattern: How it is called.
        calls: Of the range.
        others: The provider's other calls of the same time.
        usual: The provider's calls of the days before.
        strict: A sequence suffices.
    """
    sequence = is_sequence(pattern.tails)
    if not sequence and not is_crowd(pattern):
        return None
    numbers = len(set(pattern.tails))
    how = f"{numbers} numbers in sequence" if sequence else f"{pattern.share:.0%} of the provider's messages"
    if not sequence and pattern.usual_share:
        how += f" instead of {pattern.usual_share:.0%}"
    bad = _unheard(calls, others, usual) or _short(calls, others) or _unused(calls, others, usual)
    if bad is None and not (strict and sequence):
        return None
    return f"{how}, {pattern.messages} messages; {bad or 'sequences suffice for this provider'}"


def _unheard(calls: Calls, others: Calls, usual: Calls) -> str | None:
    if calls.ended < _FEWEST_UNHEARD:
        return None
    known = others if others.ended >= _FEWEST else usual if usual.ended >= 5 * _FEWEST else None
    said = f"of {calls.ended} calls {calls.heard} were heard"
    if known is None:
        return said if calls.heard <= _HARDLY_HEARD * calls.ended else None
    if calls.heard / calls.ended > known.heard / known.ended / 3:
        return None
    is_worse = _errors(calls.heard, calls.ended, known.heard, known.ended) >= _ERRORS
    return f"{said}, elsewhere {known.heard / known.ended:.0%}" if is_worse else None


def _short(calls: Calls, others: Calls) -> str | None:
    if min(calls.heard, others.heard) < _FEWEST or calls.short < 0.8 * calls.heard:
        return None
    if _errors(others.short, others.heard, calls.short, calls.heard) < _ERRORS:
        return None
    return f"of {calls.heard} answered calls {calls.short} broke off, elsewhere {others.short / others.heard:.0%}"


def _unused(calls: Calls, others: Calls, usual: Calls) -> str | None:
    known = usual if usual.told_of >= 5 * _FEWEST else others if others.told_of >= _FEWEST else None
    if known is None or calls.told_of < _FEWEST or known.verified < _LEAST_USED * known.told_of:
        return None
    if calls.verified / calls.told_of > known.verified / known.told_of / 4:
        return None
    if _errors(calls.verified, calls.told_of, known.verified, known.told_of) < _ERRORS:
        return None
    return (
        f"of {calls.told_of} codes that were heard {calls.verified} were used,"
        f" elsewhere {known.verified / known.told_of:.0%}"
    )


def _errors(few: int, of_few: int, many: int, of_many: int) -> float:
    """By how many standard errors the first share is smaller than the second."""
    pooled = (few + many) / (of_few + of_many)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of_few + 1 / of_many))
    return 0.0 if error == 0 else (many / of_many - few / of_few) / error
