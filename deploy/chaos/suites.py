"""Trials that live with the tests: random lives, planted bugs, odd requests. Pytest carries them out as a child."""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy import fleet
from deploy.chaos.companions import Companion
from deploy.chaos.proof import Proof

LIVES: Final = "tests/integration/test_message_life.py"
BITES: Final = "tests/chaos/test_bites.py"
FUZZ: Final = "tests/contract/test_fuzz.py"
_NEEDED: Final = ("pytest", "hypothesis")
_OUTCOME: Final = re.compile(r"(?:(tests/\S+) )?(PASSED|FAILED|ERROR|SKIPPED) .*\[ *(\d+)%\]")
_LIVED: Final = re.compile(r"\blives (\d+)$")
_FUZZED: Final = re.compile(r"\bfuzzed (\d+)$")
_FIGURE: Final = re.compile(r"^figure (.+) ([\d.,]+)$")
_PLANTED: Final = "test_a_planted_bug_is_noticed"


class NoTestsError(Exception):
    """The tests, or what they need, are not here; the text says what to do."""


@dataclass(slots=True)
class _Run:
    """What pytest has said so far."""

    lines: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    noticed: int = 0
    lived: int = 0
    fuzzed: int = 0
    figures: dict[str, str] = field(default_factory=dict)
    share: float = 0.0
    code: int = 0

    def hear(self, line: str) -> None:
        self.lines.append(line)
        if found := _LIVED.search(line):
            self.lived = int(found[1])
        elif found := _FUZZED.search(line):
            self.fuzzed = int(found[1])
        elif found := _FIGURE.search(line):
            self.figures[found[1]] = found[2]
        elif found := _OUTCOME.fullmatch(line):
            self.outcomes[found[2]] += 1
            self.noticed += found[2] == "PASSED" and _PLANTED in (found[1] or "")
            self.share = int(found[3]) / 100

    def faults(self) -> list[str]:
        """What failed, and pytest's reasons; an end that it does not explain is one, too."""
        if self.code == 0:
            return []
        told = [line for line in self.lines if line.startswith(("FAILED tests/", "ERROR tests/", "E  "))]
        return told or [f"pytest ended with code {self.code}", *self.lines[-5:]]


def lives(count: int, seed: int, log: Path, tell: Callable[[str, float], None]) -> Proof:
    """
    Play random lives of messages against the real steps, 50 happenings each.

    Args:
        count: How many.
        seed: The same plays the same lives, of the same tests.
        log: Where pytest's output goes.
        tell: Called with what is under way, and the share that is done.

    Raises:
        NoTestsError: This is no checkout with tests.
    """

    def told(run: _Run) -> None:
        tell(f"{run.lived} of {count} lives", min(1.0, run.lived / count))

    began = time.monotonic()
    run = _run(LIVES, {"RINGPOST_LIVES": str(count)}, log, told, f"--hypothesis-seed={seed}")
    faults = run.faults()
    if not faults and run.lived < count:
        faults = [f"{run.lived} of {count} lives were played"]
    return Proof(
        name="lives",
        title="random lives of messages, 50 happenings each",
        seed=seed,
        took_s=time.monotonic() - began,
        figures={"lives": run.lived, "happenings, at most": 50 * run.lived},
        faults=faults,
    )


def bites(log: Path, tell: Callable[[str, float], None]) -> Proof:
    """
    Plant every bug of the table, and see the test that is named for it fail.

    Args:
        log: As of :func:`lives`.
        tell: The same.

    Raises:
        NoTestsError: This is no checkout with tests.
    """

    def told(run: _Run) -> None:
        tell(f"{run.noticed} bugs planted and noticed", run.share)

    began = time.monotonic()
    run = _run(BITES, {"RINGPOST_BITES": "all"}, log, told)
    faults = run.faults()
    if not faults and (not run.noticed or run.outcomes["SKIPPED"]):
        faults = ["bugs were not planted"]
    return Proof(
        name="bites",
        title="does the suite notice a planted bug?",
        seed=None,
        took_s=time.monotonic() - began,
        figures={"bugs noticed": run.noticed, **{f"tests {how.lower()}": n for how, n in run.outcomes.items()}},
        faults=faults,
    )


def fuzz(count: int, seed: int, log: Path, tell: Callable[[str, float], None]) -> Proof:
    """
    Send an ingress what nobody should send, and hold every answer against the OpenAPI document.

    Args:
        count: Requests: five in ten are calls, four are 8x8's reports, and Schemathesis has its own besides.
        seed: The same draws the same requests.
        log: As of :func:`lives`.
        tell: The same.

    Raises:
        NoTestsError: This is no checkout with tests.
    """

    def told(run: _Run) -> None:
        tell(f"{run.fuzzed} of {count} requests", min(1.0, run.fuzzed / count))

    began = time.monotonic()
    run = _run(FUZZ, {"RINGPOST_FUZZ": str(count), "RINGPOST_FUZZ_SEED": str(seed)}, log, told)
    faults = run.faults()
    if not faults and run.fuzzed < count:
        faults = [f"{run.fuzzed} of {count} requests were sent"]
    ended = {f"tests {how.lower()}": number for how, number in run.outcomes.items()}
    return Proof(
        name="fuzz",
        title="is whatever is sent answered as documented, and stored once?",
        seed=seed,
        took_s=time.monotonic() - began,
        figures={"requests": run.fuzzed, **run.figures, **ended},
        faults=faults,
    )


def _run(file: str, extra: Mapping[str, str], log: Path, told: Callable[[_Run], None], *arguments: str) -> _Run:
    if not (fleet.PROJECT / file).is_file():
        raise NoTestsError(f"there is no {file} here: this needs a checkout of the repository, with its tests")
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise NoTestsError(f"{', '.join(missing)} missing: run `./deploy/test` once, which installs what tests need")
    run = _Run()
    with log.open("a", buffering=1) as out:

        def hear(line: str) -> None:
            out.write(line + "\n")
            run.hear(line)
            told(run)

        known = ["-v", "--color=no", "-p", "no:cacheprovider", *arguments, file]
        with Companion("pytest", log, *known, told=hear, environment={**os.environ, **extra}) as child:
            run.code = child.join()
    return run
