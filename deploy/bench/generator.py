"""The load generator's process as the conductor holds it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

import psutil

from deploy import fleet
from deploy.bench.load.ledger import FIRST_PHONE, Report

_HOST: Final = "127.0.0.1"
_CALL_S: Final = 1200.0
_END_S: Final = 5.0

#: A provider's message as it is sent, for `str.replace`.
MESSAGE: Final = '{"messageId":"{id}","customerPhone":"+{phone}","message":"Your code is 4, 7, 1, 1.","repetition":2}'


class GeneratorError(Exception):
    """The generator could not do what it was asked for."""


class Generator:
    """A running load generator, as a context manager. Every load gets ids and phones that no other has."""

    def __init__(self, receivers: Sequence[float] = (0.0,), told: Callable[[int], None] | None = None) -> None:
        """
        Args:
            receivers: Of each callback receiver, the seconds until it answers; ``HANGS`` for never.
            told: Called with how many messages of the call under way are through.
        """
        self._delays = list(receivers)
        self.told: Callable[[int], None] = told or (lambda _: None)
        self._calls = itertools.count(1)
        self._loads = itertools.count(1)
        self._next_phone = FIRST_PHONE
        self._waiting: dict[int, Future[Any]] = {}
        self._change = threading.Lock()
        self.voice_url = ""
        self.callback_urls: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.bench.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=fleet.PROJECT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="generator", daemon=True)
        self._reader.start()
        ports = self._call("listen", delays_s=self._delays)
        self.voice_url = f"http://{_HOST}:{ports['voice']}"
        self.callback_urls = [f"http://{_HOST}:{port}/callbacks" for port in ports["receivers"]]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    @property
    def process(self) -> psutil.Process:
        """The generator, for its processor time."""
        return psutil.Process(self._process.pid)

    def become(self, **world: Any) -> None:
        """Let 8x8 behave so from now on; see ``World``."""
        self._call("become", **world)

    def seen(self) -> dict[str, int]:
        """What 8x8 has seen since it last changed."""
        seen: dict[str, int] = self._call("seen")
        return seen

    def submit(self, url: str, count: int, *, body: str = MESSAGE, **how: Any) -> tuple[str, Report]:
        """Send *count* messages and wait for the answers; returns the load's name as well. See ``Load``."""
        name, future = self.begin(url, count, body=body, **how)
        return name, Report.read(_result(future))

    def begin(self, url: str, count: int, *, body: str = MESSAGE, **how: Any) -> tuple[str, Future[Any]]:
        """As ``submit``, without waiting."""
        name, first_phone = self._fresh(count)
        known = {"prefix": name, "first_phone": first_phone, "count": count, "url": url, "body": body}
        return name, self._ask("submit", known | how)

    def expect(self, count: int) -> tuple[str, int]:
        """Open a ledger for messages that come in another way; returns its name and its first phone."""
        name, first_phone = self._fresh(count)
        self._call("expect", prefix=name, first_phone=first_phone, count=count)
        return name, first_phone

    def watch(self, name: str, moment: str, quiet_s: float = 10.0) -> Report:
        """Wait until all accepted messages of a load came to *moment*, or nothing moves for *quiet_s*."""
        return Report.read(self._call("watch", prefix=name, moment=moment, quiet_s=quiet_s))

    def report(self, name: str) -> Report:
        """What a load has come to so far."""
        return Report.read(self._call("report", prefix=name))

    def samples(self, name: str, latency: str) -> list[float]:
        """Every measured value of one of a load's latencies, in milliseconds."""
        samples: list[float] = self._call("samples", prefix=name, latency=latency)
        return samples

    def forget(self, name: str) -> None:
        """Close a load's ledger: what still comes for it is not counted."""
        self._call("forget", prefix=name)

    def arrivals(self) -> list[dict[str, Any]]:
        """Count and rate of each receiver's callbacks since this was last asked."""
        arrivals: list[dict[str, Any]] = self._call("arrivals")
        return arrivals

    def _fresh(self, count: int) -> tuple[str, int]:
        first_phone = self._next_phone
        self._next_phone += count
        return f"load{next(self._loads)}", first_phone

    def _call(self, name: str, **what: Any) -> Any:
        return _result(self._ask(name, what))

    def _ask(self, name: str, what: dict[str, Any]) -> Future[Any]:
        future: Future[Any] = Future()
        number = next(self._calls)
        with self._change:
            self._waiting[number] = future
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"call": number, "do": name, **what}) + "\n")
            self._process.stdin.flush()
        return future

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "progress" in told:
                self.told(told["progress"])
                continue
            future = self._waiting.pop(told["call"])
            if "error" in told:
                future.set_exception(GeneratorError(told["error"]))
            else:
                future.set_result(told["result"])
        for future in self._waiting.values():
            future.set_exception(GeneratorError("the load generator has ended"))


def _result(future: Future[Any]) -> Any:
    return future.result(_CALL_S)
