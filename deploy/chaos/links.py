"""The network between Ringpost and what it talks to, and how it goes wrong in a drill."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deploy.chaos.faults import Fault, Kind

#: Fronts of the proxy.
POSTGRES: Final = "postgres"
REDIS: Final = "redis"
VOICE: Final = "8x8"
RECEIVER: Final = "receiver"
LINKS: Final = (POSTGRES, REDIS, VOICE, RECEIVER)

#: What may happen on every link. A reply that is cut off makes a callback come twice, so only some are.
_FAULTS: Final[tuple[Callable[[str], Fault], ...]] = (
    lambda _: Fault(kind=Kind.LATENCY, seconds=0.05, jitter_s=0.1),
    lambda _: Fault(kind=Kind.THROTTLE, bytes=20_000),
    lambda _: Fault(kind=Kind.REFUSE),
    lambda _: Fault(kind=Kind.BLACK_HOLE),
    lambda _: Fault(kind=Kind.RESET, bytes=2000),
    lambda link: Fault(kind=Kind.CUT_REPLY, share=0.3 if link == RECEIVER else 1.0),
    lambda _: Fault(kind=Kind.DELAY_REPLY, seconds=0.5),
)
_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One link going wrong for a while, in seconds from the first message."""

    at_s: float
    for_s: float
    link: str
    fault: Fault


def disturbances(count: int, seconds: float, seed: int) -> list[Disturbance]:
    """So many within this time, one after the other, links and kinds in turn after a shuffle; one seed, one plan."""
    luck = random.Random(seed)  # noqa: S311  a drill repeats
    slot_s = seconds / max(1, count)
    links: list[str] = []
    kinds: list[Callable[[str], Fault]] = []
    found = []
    for place in range(count):
        links = links or luck.sample(LINKS, len(LINKS))
        kinds = kinds or luck.sample(_FAULTS, len(_FAULTS))
        link = links.pop()
        for_s = min(luck.uniform(_SHORTEST_S, _LONGEST_S), slot_s * 0.8)
        at_s = slot_s * place + luck.uniform(0, slot_s - for_s)
        found.append(Disturbance(at_s=at_s, for_s=for_s, link=link, fault=kinds.pop()(link)))
    return found
