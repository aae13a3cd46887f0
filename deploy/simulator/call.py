"""One call session and what has happened in it so far."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from deploy.simulator.outcomes import BEHAVIOURS, Behaviour
from deploy.simulator.validation import Callflow

# A fixed node keeps ids time-based like 8x8's own and does not give away this machine's network address.
_NODE: Final = 0x0242AC120005


def new_id() -> str:
    """Make a time-based UUID (version 1)."""
    return str(uuid.uuid1(node=_NODE))


@dataclass(slots=True, kw_only=True)
class Call:
    """
    A session with its single leg.

    Times are offsets in unscaled seconds from ``accepted_at``: what 8x8 would have seen, however fast the
    simulator really plays it.
    """

    callflow: Callflow
    subaccount_id: str
    accepted_at: datetime
    behaviour_name: str = "completed"
    direction: str = "OUTBOUND"
    luck: float = 0.5  # in [0, 1); colours the call quality
    session_id: str = field(default_factory=new_id)
    callflow_request_id: str = field(default_factory=new_id)
    call_id: str = field(default_factory=new_id)
    client_action_id: str | None = None
    last_action: str = "makeCall"
    initiated_s: float = 0.0
    connected_s: float | None = None
    now_s: float = 0.0
    has_asked: bool = False  # a VCA was sent
    session_status: str | None = None
    error_code: int | None = None

    @property
    def behaviour(self) -> Behaviour:
        """What the phone does."""
        return BEHAVIOURS[self.behaviour_name]

    @property
    def connected_for_s(self) -> float:
        """Seconds since the answer; 0 when there was none."""
        return 0.0 if self.connected_s is None else self.now_s - self.connected_s

    def at(self, offset_s: float) -> datetime:
        """The moment *offset_s* after the request."""
        return self.accepted_at + timedelta(seconds=offset_s)
