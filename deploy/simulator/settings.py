"""Every choice of the simulator, read once at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from deploy.simulator.faults import Faults


class SimulatorSettingsError(ValueError):
    """A setting is unknown or unusable; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Times ending in ``_s`` are seconds of the story, shortened by ``time_scale``, unless said otherwise."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    api_key: str = field(default="simulator-api-key", repr=False)
    subaccount_id: str = "ringpost_simulator"
    caller_ids: frozenset[str] | None = None  # None: any caller id is allowed
    covered_countries: frozenset[str] | None = None  # ISO codes; None: the whole world
    trunk_capacity: int | None = None  # calls up at once; None: no limit
    time_scale: float = 1.0  # 0.01: ten seconds of call last 0.1 s
    dial_delay_s: float = 0.3  # from the reply to the first ring
    ring_s: float = 6.0
    vca_timeout_s: float = 5.0  # real seconds, as the other side really has to answer
    validates_requests: bool = True  # False: only what cannot be played is refused
    barge_in: bool = False  # True: a key pressed during a sayAndCapture prompt counts
    echoes_client_ids: bool = True  # clientRequestId and clientBatchId in summaries
    retries_vss: bool = True
    outcomes_by_suffix: bool = True  # False: every phone answers unless planned otherwise
    seed: int = 8
    faults: Mapping[str, Any] = field(default_factory=dict)  # as PUT /sim/faults takes them

    def __post_init__(self) -> None:
        if self.time_scale < 0:
            raise SimulatorSettingsError("time_scale must not be negative")
        if self.caller_ids is not None and not all(number.startswith("+") for number in self.caller_ids):
            raise SimulatorSettingsError("caller_ids must be E.164 numbers with +")
        Faults(lambda: 0.0).replace(self.faults)  # a wrong knob must stop the start, not the first request

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build from parsed JSON, lists as sets. Raises ``SimulatorSettingsError`` naming unknown ones."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SimulatorSettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        chosen: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**chosen)
