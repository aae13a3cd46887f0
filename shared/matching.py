"""Which dial attempt an event of 8x8 belongs to, if that is beyond doubt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict

from shared.lifecycle import Lane, Status
from shared.voice_api.pretence import PRETENDED_SUBACCOUNT


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that an event may belong to, with its message as it stands."""

    rank: int  # 0 by session_id, 1 by clientRequestId, 2 in flight to that destination
    attempt_id: str
    session_id: str | None
    subaccount_id: str
    source: str
    destination_key: bytes
    is_settled: bool
    key_pressed: str | None
    answered_at: datetime | None
    message_id: str
    is_current: bool
    status: Status
    lane: Lane
    plays: int
    seconds_per_play: float
    deadline: datetime
    max_attempts: int
    spare_attempts: int
    accepted_attempts: int  # that 8x8 took or may have taken, this one included
    now: datetime
    version: str = ""  # of the attempt and the message, as read
    traceparent: str | None = None  # of the message's trace


class Facts(TypedDict):
    """What an event tells of the attempt that it belongs to; None where it tells nothing."""

    subaccount_id: str | None
    destination_key: bytes | None
    source: str | None


#: What names an attempt of ours rather than one that would do: its session, or the id that we sent with it.
_NAMED: Final = 1
#: Digits that a caller id in national form has at least.
_FEWEST_DIGITS: Final = 6

#: What must agree, by the name that it has in logs.
_MEMBERS: Final = ("subaccount", "destination", "source", "nothing told")


def is_pretended(candidate: Candidate) -> bool:
    """Whether no call of 8x8's was asked for: only summaries of our own may be of it."""
    return candidate.subaccount_id == PRETENDED_SUBACCOUNT


def _is_of(subaccount_id: str | None, candidate: Candidate) -> bool:
    return not is_pretended(candidate) if subaccount_id is None else subaccount_id == candidate.subaccount_id


def choose(
    candidates: Sequence[Candidate],
    *,
    subaccount_id: str | None,
    destination_key: bytes | None,
    source: str | None,
) -> Candidate | None:
    """
    The attempt that an event belongs to, if that is beyond doubt.

    By session, by our own clientRequestId, else by being the only one in flight to the destination. Whatever else
    the event says must agree: 8x8 signs nothing, so a mere session id is not trusted.
    """
    told = (subaccount_id, destination_key, source)
    fitting = [
        candidate
        for candidate in candidates
        # Nearly always all are told and equal: then nothing need be weighed.
        if told == (candidate.subaccount_id, candidate.destination_key, candidate.source)
        or False not in _agreements(candidate, *told)
    ]
    # A session or an id that names an attempt of ours is not bound to any other, even when the rest does not fit.
    best = min((candidate.rank for candidate in candidates), default=None)
    of_best = [candidate for candidate in fitting if candidate.rank == best]
    return of_best[0] if len(of_best) == 1 else None


def contradicted(
    candidates: Sequence[Candidate],
    *,
    subaccount_id: str | None,
    destination_key: bytes | None,
    source: str | None,
) -> tuple[str, ...]:
    """
    Where an event names an attempt of ours and yet cannot be of it: why not. Empty where it names none, or fits.

    It never will be: what it names does not change. So it was forged, or belongs to somebody else's call.
    """
    best = min((candidate.rank for candidate in candidates), default=_NAMED + 1)
    if best > _NAMED:
        return ()
    (named, *_) = [candidate for candidate in candidates if candidate.rank == best]
    agreements = _agreements(named, subaccount_id, destination_key, source)
    return tuple(name for name, agrees in zip(_MEMBERS, agreements, strict=True) if not agrees)


def _agreements(
    candidate: Candidate, subaccount_id: str | None, destination_key: bytes | None, source: str | None
) -> tuple[bool, bool, bool, bool]:
    """
    Whether what an event tells is so of an attempt, in the order of ``_MEMBERS``.

    A member that is absent, masked or withheld contradicts nothing, as 8x8 leaves legs out of some summaries.
    """
    return (
        _is_of(subaccount_id, candidate),
        destination_key in (None, candidate.destination_key),
        source in (None, candidate.source) or _is_one_number(source or "", candidate.source),
        subaccount_id is not None or destination_key is not None or source is not None,
    )


def _is_one_number(told: str, ours: str) -> bool:
    """Whether 8x8 may have told our caller id so: also in national form, as nothing secret hangs on it."""
    digits = told.lstrip("+0")
    return len(digits) >= _FEWEST_DIGITS and ours.endswith(digits)
