"""When a drill breaks what: the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Blow(StrEnum):
    """What can be broken."""

    WORKER = "worker"  # SIGKILL of a process that works
    MASTER = "master"  # SIGKILL of what the supervisor started
    REDIS = "redis"  # SIGKILL, back as it was
    REDIS_WIPED = "redis wiped"
    REDIS_RESTORED = "redis restored"  # back as it was early in the drill
    POSTGRES = "postgres"  # an immediate stop, and recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One blow at its moment, in seconds from the first message; ``role`` is the victim of a kill."""

    at_s: float
    blow: Blow
    role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How often what is broken within a drill of so many seconds."""

    seconds: float
    kills: int
    redis: Sequence[Blow]
    postgres: int
    roles: Sequence[str]


#: Shares of the time in which nothing is broken: the drill begins and ends with ordinary traffic.
_BEGIN: Final = 0.06
_END: Final = 0.96
_MASTERS: Final = 0.3


def strikes(wanted: Wanted, seed: int) -> list[Strike]:
    """
    The blows in the order of time.

    Kills come at the mean distance that their number asks for, up to 45 % sooner or later, each role in turn after a
    shuffle so that none is left out; engines are spread evenly.
    """
    luck = random.Random(seed)  # noqa: S311  a drill repeats
    begin, length = wanted.seconds * _BEGIN, wanted.seconds * (_END - _BEGIN)
    found = []
    roles: list[str] = []
    for place in range(wanted.kills):
        roles = roles or luck.sample(list(wanted.roles), len(wanted.roles))
        at_s = begin + length * (place + 0.5 + luck.uniform(-0.45, 0.45)) / wanted.kills
        blow = Blow.MASTER if luck.random() < _MASTERS else Blow.WORKER
        found.append(Strike(at_s=at_s, blow=blow, role=roles.pop()))
    engines = [*wanted.redis, *[Blow.POSTGRES] * wanted.postgres]
    luck.shuffle(engines)
    for place, blow in enumerate(engines):
        at_s = begin + length * (place + 0.5 + luck.uniform(-0.3, 0.3)) / len(engines)
        found.append(Strike(at_s=at_s, blow=blow))
    return sorted(found, key=lambda strike: strike.at_s)
