"""What a network can do to a connection, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class FaultError(ValueError):
    """A fault that cannot be had, or a front that does not exist; the text says why."""


class Kind(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"  # every piece takes ``seconds`` and up to ``jitter_s`` more, each way
    THROTTLE = "throttle"  # ``bytes`` a second, each way
    REFUSE = "refuse"  # nobody listens; with a share or a count, those connections are reset at once
    BLACK_HOLE = "black_hole"  # connections are taken, nothing passes, old ones included, until it is cleared
    RESET = "reset"  # after ``bytes`` more in one direction
    CUT_REPLY = "cut_reply"  # the request goes through, then the connection is reset before a byte of the reply
    DELAY_REPLY = "delay_reply"  # the reply is held for ``seconds``


class Way(StrEnum):
    """Where bytes are going."""

    UP = "up"  # requests
    DOWN = "down"  # replies


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing going wrong in front of one upstream."""

    kind: Kind
    seconds: float = 0.0
    jitter_s: float = 0.0
    bytes: int = 0
    way: Way = Way.DOWN  # of a reset
    share: float = 1.0  # of connections; which of them, the seed says
    count: int | None = None  # connections that it strikes at most; None: all
    skip_replies: int = 0  # of each connection, before it strikes its replies: handshakes

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise FaultError("share: must be from 0 to 1")
        if min(self.seconds, self.jitter_s, self.bytes, self.count or 0, self.skip_replies) < 0:
            raise FaultError("seconds, bytes and counts must not be negative")
        if self.kind is Kind.THROTTLE and not self.bytes:
            raise FaultError("bytes: a throttle needs some")

    @property
    def closes_the_door(self) -> bool:
        """Nobody listens at all."""
        return self.kind is Kind.REFUSE and self.share == 1 and self.count is None

    def as_json(self) -> dict[str, Any]:
        """For the control socket and the timeline."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The other way round. Raises ``FaultError``."""
        try:
            return cls(**{**values, "kind": Kind(values["kind"]), "way": Way(values.get("way", Way.DOWN))})
        except (KeyError, TypeError) as error:
            raise FaultError(f"no fault: {error}") from None
