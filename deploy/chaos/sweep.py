"""The failpoint sweep: every failpoint fires once in the running service, and no promise is broken."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.chaos.armed import DrillStage
from shared.failpoints import FAILPOINTS, NAMES, Action, fired

#: Whose process passes the step's failpoints.
_ROLES: Final = {
    "accept": "web",
    "ring": "web",
    "webhooks": "web",
    "spool": "web",
    "place_calls": "calls-otp",
    "reconcile_events": "events",
    "deliver_callbacks": "events",
    "sweep": "sweeper",
}
#: First callbacks are sent by who writes them; only repeats are claimed.
_CLAIMS_CALLBACKS: Final = ("callback.before_claim", "callback.after_claim")
#: What must fail before these are reached.
_LEADS: Final = {
    "dial.before_give_back": ("dial.after_claim=raise@1",),
    "spool": tuple(f"webhook.before_commit=raise@{count}" for count in range(1, 5)),
}
#: Longer than the shrunk lease of what is in hand, in seconds.
_PAUSES_S: Final = {"place_calls": 7.0, "reconcile_events": 12.0, "deliver_callbacks": 28.0}
_PAUSE_S: Final = 3.0
_FIRE_S: Final = 45.0
_END_S: Final = 75.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep came to; good when nothing was missed and nothing contradicts a promise."""

    action: Action
    messages: int
    missed: tuple[str, ...]  # failpoints that never fired
    contradictions: tuple[str, ...]
    took_s: float


def role_of(name: str) -> str:
    """The role that is armed for a failpoint."""
    step = next(one.step for one in FAILPOINTS if one.name == name)
    return "callbacks" if name in _CLAIMS_CALLBACKS else _ROLES[step]


def rounds_of(names: Sequence[str], together: int) -> list[list[str]]:
    """The failpoints in rounds, at most *together* of each role in one."""
    by_role: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_role[role_of(name)].append(name)
    most = max(map(len, by_role.values()), default=0)
    return [
        [name for role in by_role.values() for name in role[start : start + together]]
        for start in range(0, most, together)
    ]


def sweep(
    stage: DrillStage,
    action: Action,
    names: Sequence[str] = NAMES,
    *,
    together: int = 3,
    tell: Callable[[str], None] = lambda _: None,
) -> Swept:
    """Let each of *names* fire once, several of a role in one burst, and judge when all has come to rest."""
    started, before = time.monotonic(), len(stage.numbers)
    missed: list[str] = []
    for number, round_ in enumerate(rounds_of(names, together), start=1):
        tag = f"{action}-{number}-{time.time_ns()}"
        tell(f"{action} {', '.join(round_)}")
        missed += _round(stage, action, round_, tag)
    stage.arm({})
    stage.wait_for_end(_END_S)
    found = stage.contradictions()
    return Swept(action, len(stage.numbers) - before, tuple(missed), tuple(found), round(time.monotonic() - started, 1))


def _round(stage: DrillStage, action: Action, names: Sequence[str], tag: str) -> list[str]:
    """One burst under armed roles; returns the failpoints that did not fire."""
    armings: dict[str, list[str]] = defaultdict(list)
    pause_s = 0.0
    for name in names:
        step = next(one.step for one in FAILPOINTS if one.name == name)
        seconds = _PAUSES_S.get(step, _PAUSE_S)
        pause_s = max(pause_s, seconds if action is Action.PAUSE else 0.0)
        armings[role_of(name)] += [f"{lead}#{tag}" for lead in _LEADS.get(name, _LEADS.get(step, ()))]
        armings[role_of(name)].append(f"{name}={action}:{seconds:g}@1#{tag}")
    stage.arm({role: list(dict.fromkeys(armed)) for role, armed in armings.items()})
    deadline, place, left = time.monotonic() + _FIRE_S, 0, set(names)
    while left and time.monotonic() < deadline:
        if set(names) & set(_CLAIMS_CALLBACKS):
            stage.fail_next_callback()
        stage.submit(f"{tag}-{place}", is_scheduled=place % 3 == 2)
        place += 1
        time.sleep(0.15)
        left = set(names) - {
            one["name"] for one in fired(stage.data_dir) if one["arming"].endswith(f"={action}:{_seconds(one)}@1#{tag}")
        }
    time.sleep(pause_s)  # what is paused goes on before its process is drained
    return sorted(left)


def _seconds(record: dict[str, str]) -> str:
    return record["arming"].partition(":")[2].partition("@")[0]
