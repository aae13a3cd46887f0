"""What a drill leaves behind, as the checker reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a line of the history is about."""

    BEGAN = "began"
    SUBMIT = "submit"  # one request of the sender, and what it knows of it
    KILL = "kill"  # of a process or an engine
    RESTART = "restart"
    FAULT_ON = "fault_on"
    FAULT_OFF = "fault_off"
    BACKLOG = "backlog"  # how many messages were open
    HELD = "held"  # what the processes and engines hold on to
    DRAIN = "drain"  # nothing is broken any more, and nothing is sent
    DRAINED = "drained"  # every message is final and told


class Outcome(StrEnum):
    """What the sender of a request knows."""

    OK = "ok"  # 2xx: from now on the message is ours
    FAIL = "fail"  # surely not stored
    INFO = "info"  # no answer, or one that leaves it open


#: Marks on a timeline, and what the drain is counted from.
DISTURBANCES = frozenset({Kind.KILL, Kind.FAULT_ON, Kind.FAULT_OFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history: seconds since the start on the monotonic clock, and the wall's time (Unix)."""

    kind: Kind
    at_s: float
    wall: float
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook of 8x8's: when it was sent, and an HTTP status or an error's name."""

    sent_at: float
    came_back: int | str

    @property
    def was_taken(self) -> bool:
        """Whether we answered that we have it."""
        return isinstance(self.came_back, int) and 200 <= self.came_back < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A callflow that 8x8 accepted; ``status`` is 8x8's word for its end, None while it runs."""

    destination: str
    session_id: str
    request_id: str | None
    accepted_at: float
    status: str | None
    vss: tuple[Post, ...] = ()
    vca: tuple[Post, ...] = ()

    @property
    def was_told(self) -> bool:
        """Whether we took a summary of it."""
        return any(post.was_taken for post in self.vss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A callback that a receiver got."""

    webhook_id: str
    message_id: str  # the provider's own
    type: str
    status: str
    at: float
    is_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message as the database has it at the end."""

    id: str
    message_id: str
    status: str
    reason: str | None
    has_text: bool
    most_calls: int  # that its sender and the redial policy allow
    created_at: float
    finished_at: float | None
    is_parked: bool = False  # its final callback was set aside, visibly


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A dial attempt as the database has it; its id is 8x8's request id."""

    attempt_id: str
    id: str  # the message's
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the verdict is made from; ``audit`` has the conservation audit's findings, kind -> ids."""

    history: tuple[Event, ...]
    sessions: tuple[Session, ...]
    deliveries: tuple[Delivery, ...]
    rows: tuple[Row, ...]
    attempts: tuple[Attempt, ...]
    audit: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
