"""When a message would be dialled, and whether that is in time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.lifecycle import Lane


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the sender is told: when we expect to dial, and whether the deadline holds."""

    dial_at: datetime
    will_meet_deadline: bool
    wait_s: float


def estimate(
    backlog: Mapping[str, int], lane: Lane, *, dials_per_second: float, begins: datetime, deadline: datetime
) -> Estimate:
    """
    How long the messages ahead take at the configured pace.

    Args:
        backlog: Messages that wait to be dialled, by lane.
        lane: The message's own. otp waits for otp only; the others share what otp leaves.
        dials_per_second: The pace.
        begins: When the message may be dialled, at the earliest.
        deadline: When speech must have begun.
    """
    ahead = backlog.get(Lane.OTP, 0) if lane is Lane.OTP else sum(backlog.values())
    wait_s = ahead / dials_per_second
    dial_at = begins + timedelta(seconds=wait_s)
    return Estimate(dial_at, dial_at < deadline, wait_s)
