"""One programme under way: sends its load, strikes, waits for rest, and asks the checker."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.chaos import victims
from deploy.chaos.checker import Bounds, check
from deploy.chaos.companions import Companion, sender
from deploy.chaos.evidence import count_open, count_unfinished, gather
from deploy.chaos.faults import Fault
from deploy.chaos.history import History
from deploy.chaos.links import Disturbance
from deploy.chaos.load import Order
from deploy.chaos.records import Evidence, Kind
from deploy.chaos.schedule import Blow, Strike
from deploy.chaos.stage import Stage
from deploy.chaos.verdict import Promise, Verdict, Violation
from shared.db.database import DatabaseAway

_SAMPLE_S: Final = 1.0
_LOOK_S: Final = 0.25
_QUIET_S: Final = 60.0  # beyond the bound, so that it shows how late the rest came


@dataclass(frozen=True, slots=True)
class Result:
    """What a drill came to."""

    verdict: Verdict
    evidence: Evidence


class Drill:
    """A stage, a seed, and a history of its own."""

    def __init__(self, stage: Stage, name: str, seed: int, tell: Callable[[str], None]) -> None:
        self.stage: Final = stage
        self.name: Final = name
        self.seed: Final = seed
        self._tell = tell
        self._luck = random.Random(seed)  # noqa: S311  a drill repeats
        self.folder: Final = stage.folder / f"{name}-{seed}-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.history: Final = History(self.folder / "conductor.jsonl")
        self._paths: list[Path] = [self.history.path]
        self.since: Final = time.time()
        self._measures: dict[str, float] = {}
        self._missed: list[Violation] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Note what dies and how many messages are open, while entered."""
        self.stage.on_exit = lambda name, pid: self.history.note(Kind.RESTART, what=name, pid=pid)
        self.history.note(Kind.BEGAN, drill=self.name, seed=self.seed)
        over = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(over,), name="backlog", daemon=True)
        sampler.start()
        try:
            with self.history:
                yield
        finally:
            over.set()
            sampler.join()
            self.stage.on_exit = lambda _name, _pid: None

    @contextmanager
    def load(self, count: int, rate: float, **how: Any) -> Iterator[Companion]:
        """Send so many messages at this pace from another process, as ``Order`` says; ends when each was answered."""
        path = self.history.path.with_name(f"sender{len(self._paths)}.jsonl")
        path.touch()
        self._paths.append(path)
        known: dict[str, Any] = {"seed": self.seed, "ttl_s": 20, "is_mixed": True}
        order = Order(
            url=self.stage.submit_url, headers=self.stage.headers, history=str(path), began=self.history.began,
            prefix=f"{self.name}{len(self._paths) - 1}", first=self.stage.numbers(count), count=count, rate=rate,
            **(known | how),
        )  # fmt: skip
        with sender(self.stage.log, self._note_accepted) as running:
            running.ask(order.as_json())
            yield running
            running.wait(count / rate + 2 * order.patience_s)

    def _note_accepted(self, count: int) -> None:
        self._tell(f"{self.name}: {count} accepted")

    def strike_all(self, strikes: Sequence[Strike]) -> None:
        """Carry these out, each at its moment from now on."""
        began = time.monotonic()
        for strike in strikes:
            time.sleep(max(0.0, began + strike.at_s - time.monotonic()))
            self.strike(strike)

    @contextmanager
    def disturbed(self, plan: Sequence[Disturbance]) -> Iterator[None]:
        """Let the links go wrong as planned, beside whatever else happens; all are well again at the end."""
        over = threading.Event()
        thread = threading.Thread(target=self._disturb, args=(plan, over), name="disturbances", daemon=True)
        thread.start()
        try:
            yield
            thread.join()
        finally:
            over.set()
            thread.join()

    def _disturb(self, plan: Sequence[Disturbance], over: threading.Event) -> None:
        began = time.monotonic()
        for one in plan:
            if over.wait(max(0.0, began + one.at_s - time.monotonic())):
                return
            with self.faults(one.link, one.fault):
                over.wait(one.for_s)

    @contextmanager
    def faults(self, link: str, *faults: Fault) -> Iterator[None]:
        """Let a link go wrong while entered."""
        with self.noted(link, ", ".join(fault.kind for fault in faults)):
            self.stage.proxy.set(link, *faults)
            try:
                yield
            finally:
                self.stage.proxy.clear(link)

    @contextmanager
    def noted(self, link: str, what: str) -> Iterator[None]:
        """Write down that something goes wrong while entered."""
        self.history.note(Kind.FAULT_ON, link=link, what=what)
        try:
            yield
        finally:
            self.history.note(Kind.FAULT_OFF, link=link, what=what)

    def measure(self, name: str, value: float, most: float | None = None) -> None:
        """Add a figure of the drill's own; above *most* it is a violation."""
        self._measures[name] = round(value, 3)
        if most is not None and value > most:
            self._missed.append(Violation(Promise.P5, f"{name}: {value:.3g}; bound {most:.3g}"))

    def blame(self, promise: Promise, what: str) -> None:
        """Add a violation of the drill's own."""
        self._missed.append(Violation(promise, what))

    def strike(self, strike: Strike) -> None:
        """Carry one out and note it."""
        facts: dict[str, Any] = {"what": strike.blow, "role": strike.role}
        if strike.blow in (Blow.WORKER, Blow.MASTER):
            pid = self._victim(strike)
            if pid is None:
                return
            victims.kill(pid)
            self.history.note(Kind.KILL, pid=pid, **facts)
            return
        self.history.note(Kind.KILL, **facts)
        if strike.blow is Blow.POSTGRES:
            self.stage.crash_postgres()
        else:
            self.stage.crash_redis(wiped=strike.blow is Blow.REDIS_WIPED, restored=strike.blow is Blow.REDIS_RESTORED)
        self.history.note(Kind.RESTART, **facts)

    def _victim(self, strike: Strike) -> int | None:
        """Who dies; the worker's master where the worker is dead already, and None when both are."""
        workers = self.stage.workers(strike.role) if strike.blow is Blow.WORKER else []
        return self._luck.choice(workers) if workers else victims.master_of(self.stage.supervisor, strike.role)

    def kill(self, role: str, *, master: bool = False) -> None:
        """Kill -9 one process of a role."""
        self.strike(Strike(at_s=0, blow=Blow.MASTER if master else Blow.WORKER, role=role))

    def await_rest(self, within_s: float) -> None:
        """Return when every message is final and told; after some time more in any case."""
        self.history.note(Kind.DRAIN)
        self._tell(f"{self.name}: waiting for rest")
        deadline = time.monotonic() + within_s + _QUIET_S
        while time.monotonic() < deadline:
            left = self.stage.database.run(lambda connection: count_unfinished(connection, self.since), patience_s=30)
            if left == 0:
                self.history.note(Kind.DRAINED)
                return
            self._tell(f"{self.name}: waiting for rest, {left} left")
            time.sleep(_LOOK_S)

    def gather(self) -> Evidence:
        """All that has happened so far."""
        return gather(self.stage, self._paths, self.since)

    def judge(self, bounds: Bounds) -> Result:
        """What the checker says, and whether the drill's own figures kept to their bounds."""
        evidence = self.gather()
        verdict = check(evidence, bounds)
        figures = {**verdict.figures, **self._measures}
        return Result(Verdict((*verdict.violations, *self._missed), figures), evidence)

    def _sample(self, over: threading.Event) -> None:
        while not over.wait(_SAMPLE_S):
            with suppress(DatabaseAway):
                count = self.stage.database.run(lambda connection: count_open(connection, self.since), patience_s=0.5)
                self.history.note(Kind.BACKLOG, open=count)
