"""Which dial attempt an event of 8x8 belongs to, if that is beyond doubt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
    fitting = [
        candidate
        for candidate in candidates
        if _is_of(subaccount_id, candidate)
        and destination_key in (None, candidate.destination_key)
        and source in (None, candidate.source)
    ]
    # A session or an id that names an attempt of ours is not bound to any other, even when the rest does not fit.
    best = min((candidate.rank for candidate in candidates), default=None)
    of_best = [candidate for candidate in fitting if candidate.rank == best]
    return of_best[0] if len(of_best) == 1 else None
