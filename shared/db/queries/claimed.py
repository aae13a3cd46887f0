"""What a claim gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.lifecycle import Lane
from shared.sending_rules import QuietHours, parse_quiet_hours
from shared.stops import Stop
from shared.verdict import Dialed


@dataclass(frozen=True, slots=True)
class ClaimedCall:
    """A message that this worker alone may dial now."""

    message_id: str
    provider_id: str
    lane: Lane
    country: str
    attempt_id: str
    number: int
    content: bytes
    source: str
    voice: str
    speed: float
    plays: int
    seconds_per_play: float
    interruptible: bool
    may_redial: bool  # should it be doubtful
    probes: bool  # the subaccount is paused, and this call shows whether it still has to be
    deadline: datetime
    valid_until: datetime
    now: datetime  # the database's clock at the claim
    is_suppressed: bool = False  # not to be called
    quiet_hours: QuietHours | None = None  # that this call keeps
    traceparent: str | None = None  # of the message's trace

    @property
    def ids(self) -> dict[str, str]:
        """What it is called in logs."""
        return {"message_id": self.message_id, "attempt_id": self.attempt_id}

    def dialed(self) -> Dialed:
        """What 8x8's answer to it is judged by."""
        return Dialed(
            message_id=self.message_id,
            attempt_id=self.attempt_id,
            number=self.number,
            valid_until=self.valid_until,
            speaking_s=self.plays * self.seconds_per_play,
            deadline=self.deadline,
            may_redial=self.may_redial,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim gave, and whether asking again soon would give more."""

    calls: list[ClaimedCall]
    room: int  # how many the pace allowed
    waiting: bool  # more was due than the room held, in a lane that may dial
    held_s: float = 0.0  # 8x8 asked for a pause that ends in so many seconds
    is_fenced: bool = False  # PostgreSQL was promoted: first see to what it may have forgotten
    stops: tuple[Stop, ...] = ()  # that stood, but for lanes


def claimed(row: Any, lane: Lane) -> ClaimedCall:
    """A call from a row of the claim's."""
    return ClaimedCall(
        message_id=row.id,
        provider_id=row.provider_id,
        lane=lane,
        country=row.country,
        attempt_id=row.attempt_id,
        number=row.attempt,
        content=bytes(row.content),
        source=row.source,
        voice=row.voice,
        speed=row.speed,
        plays=row.plays,
        seconds_per_play=row.seconds_per_play,
        interruptible=row.interruptible,
        may_redial=row.may_redial,
        probes=row.probes,
        deadline=row.deadline,
        valid_until=row.valid_until,
        now=row.claimed_at,
        is_suppressed=row.is_suppressed,
        quiet_hours=None if row.quiet_hours is None else parse_quiet_hours(row.quiet_hours),
        traceparent=row.traceparent,
    )
