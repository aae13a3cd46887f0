"""The failpoint sweep: every failpoint fires once in the running service, and no promise is broken."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import Any, Final

import psutil

from deploy.chaos.armed import DrillStage
from deploy.chaos.proof import Proof
from deploy.trial import TrialError
from shared.failpoints import FAILPOINTS, NAMES, PAUSE_S, Action, fired

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
#: How many of one role fire in one burst. Who sleeps reaches no other place, and of two workers one stays awake; the
#: ingress, whose requests are repeated, may sleep as a whole.
_TOGETHER: Final = 3
_ASLEEP: Final = {"web": 2}
#: Bounds for a busy machine; mostly it takes some seconds.
_FIRE_S: Final = 120.0
#: From the last burst until all is final and told: a call and its missing summary, or the longest lease.
_END_S: Final = 150.0
#: Between two messages: until all has fired, and while somebody sleeps.
_EVERY_S: Final = 0.15
_MEANWHILE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep came to; good when nothing was missed and nothing contradicts a promise."""

    action: Action
    messages: int
    hit: tuple[dict[str, Any], ...]  # what fired: at, name, action, arming, pid
    missed: tuple[str, ...]  # failpoints that never fired
    contradictions: tuple[str, ...]
    endings: Mapping[str, int]  # messages by status
    took_s: float


def proof_of(swept: Sequence[Swept]) -> Proof:
    """What sweeps by several actions came to together."""
    figures: dict[str, float | int | str] = {}
    faults: list[str] = []
    for one in swept:
        figures[f"{one.action}: failpoints hit"] = f"{len(one.hit)} of {len(one.hit) + len(one.missed)}"
        figures |= {f"{one.action}: messages": one.messages, f"{one.action}: s": one.took_s}
        figures |= {f"{one.action}: ended {status}": count for status, count in sorted(one.endings.items())}
        faults += [f"{one.action}: {name} was never passed" for name in one.missed]
        faults += [f"{one.action}: {what}" for what in one.contradictions]
    return Proof(
        name="sweep",
        title="every failpoint fires once in the running service",
        seed=None,
        took_s=sum(one.took_s for one in swept),
        figures=figures,
        faults=faults,
    )


def role_of(name: str) -> str:
    """The role that is armed for a failpoint."""
    step = next(one.step for one in FAILPOINTS if one.name == name)
    return "callbacks" if name in _CLAIMS_CALLBACKS else _ROLES[step]


def rounds_for(action: Action, names: Sequence[str] = NAMES) -> list[list[str]]:
    """The failpoints in rounds, of each role no more in one than it can bear."""
    by_role: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_role[role_of(name)].append(name)
    parts = []
    for role, of_role in by_role.items():
        together = _ASLEEP.get(role, 1) if action is Action.PAUSE else _TOGETHER
        parts.append([of_role[start : start + together] for start in range(0, len(of_role), together)])
    return [list(chain.from_iterable(round_)) for round_ in zip_longest(*parts, fillvalue=[])]


def sweep(
    stage: DrillStage,
    action: Action,
    names: Sequence[str] = NAMES,
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> Swept:
    """
    Let each of *names* fire once, several of a role in one burst, and judge when all has come to rest.

    A pause takes 40 s, which outlives every lease and every wait of the service: on a stage with rivals others take
    over meanwhile, and whoever wakes up finds the world changed.
    """
    started, before, earlier = time.monotonic(), set(stage.numbers), len(fired(stage.data_dir))
    found: list[str] = []
    try:
        for number, round_ in enumerate(rounds_for(action, names), start=1):
            tell(f"{action} {', '.join(round_)}")
            records = _round(stage, action, round_, f"{action}-{number}-{time.time_ns()}")
            if action is Action.PAUSE:
                found += [f"{one['name']}: who slept there is dead" for one in records if _is_gone(one["pid"])]
        tell(f"{action}: waiting for rest")
        stage.arm({})
        stage.wait_for_end(_END_S)
    except TrialError as error:
        found.append(str(error))
    hit = [one for one in fired(stage.data_dir)[earlier:] if _is_of(action, one)]
    missed = [name for name in names if name not in {one["name"] for one in hit}]
    found += stage.contradictions()
    endings = Counter(status for name, (status, _) in stage.endings().items() if name not in before)
    took_s = round(time.monotonic() - started, 1)
    return Swept(action, endings.total(), tuple(hit), tuple(missed), tuple(found), endings, took_s)


def _is_of(action: Action, record: Mapping[str, Any]) -> bool:
    """Whether it fired for its own sake, not so that another place is reached."""
    return f"={action}:" in str(record["arming"])


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def _round(stage: DrillStage, action: Action, names: Sequence[str], tag: str) -> list[dict[str, Any]]:
    """One burst under armed roles; returns what fired."""
    armings: dict[str, list[str]] = defaultdict(list)
    wanted = {f"{name}={action}:{PAUSE_S:g}@1#{tag}": name for name in names}
    for arming, name in wanted.items():
        step = next(one.step for one in FAILPOINTS if one.name == name)
        armings[role_of(name)] += [f"{lead}#{tag}" for lead in _LEADS.get(name, _LEADS.get(step, ()))]
        armings[role_of(name)].append(arming)
    stage.arm({role: list(dict.fromkeys(armed)) for role, armed in armings.items()})

    def records() -> list[dict[str, Any]]:
        return [one for one in fired(stage.data_dir) if one["arming"] in wanted]

    fails_callbacks = not set(names).isdisjoint(_CLAIMS_CALLBACKS)
    send = partial(_send, stage, tag, fails_callbacks=fails_callbacks)
    send(_FIRE_S, _EVERY_S, until=lambda: len(records()) == len(wanted))
    if action is Action.PAUSE:
        send(PAUSE_S + 1, _MEANWHILE_S)  # what sleeps goes on before its process is drained
    return records()


def _send(
    stage: DrillStage,
    tag: str,
    for_s: float,
    every_s: float,
    *,
    fails_callbacks: bool,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Send messages for so long, every third of them scheduled; of every callback the first POST may fail."""
    deadline = time.monotonic() + for_s
    while not until() and time.monotonic() < deadline:
        if fails_callbacks:
            stage.fail_next_callback()
        place = len(stage.numbers)
        stage.submit(f"{tag}-{place}", is_scheduled=place % 3 == 2)
        time.sleep(every_s)
