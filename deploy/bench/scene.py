"""Where measurements take place: Ringpost, its rivals and the load generator, all running."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from deploy import fleet
from deploy.bench.generator import Generator
from deploy.bench.load.ledger import Report
from deploy.bench.rivals import Naive
from deploy.bench.stage import SUBACCOUNT, Stage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scene:
    """What every measurement gets."""

    stage: Stage
    generator: Generator
    naive: Naive
    quick: bool
    tell: Callable[[str], None]
    scale: float = 1.0  # of all counts; below 1 only to try the benchmark itself

    def count(self, quick: int, full: int) -> int:
        """How many messages, for this kind of run."""
        return max(4, round((quick if self.quick else full) * self.scale))

    def seconds(self, quick: float, full: float) -> float:
        """How long, for this kind of run."""
        return max(0.5, (quick if self.quick else full) * self.scale)

    def alternated(self, rounds: int, ways: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
        """Do each of *ways* in turn, several rounds, so that what the machine does meanwhile hits all alike."""
        done: dict[str, list[T]] = {name: [] for name in ways}
        for number in range(1, rounds + 1):
            for name, way in ways.items():
                self.tell(f"round {number} of {rounds}: {name}")
                done[name].append(way())
        return done

    def through(self, url: str, count: int, headers: Mapping[str, str], *, until: str, **how: Any) -> Report:
        """Send a load, and wait until its messages came to the moment *until*."""
        name, report = self.generator.submit(url, count, headers=dict(headers), **how)
        if until != "accepted":
            report = self.generator.watch(name, until)
        self.generator.forget(name)
        return report

    @contextmanager
    def echo(self) -> Iterator[str]:
        """The same chain in memory: its URL, and 8x8 reporting to it."""
        voice_url = f"{self.generator.voice_url}/api/v1/subaccounts/{SUBACCOUNT}/callflows"
        command = [sys.executable, "-m", "deploy.bench.load.echo", voice_url, self.generator.callback_urls[0]]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=fleet.PROJECT)
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
            process.communicate()
