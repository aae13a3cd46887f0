"""Brings a private engine back when it died: PostgreSQL recovers from its log, Valkey from its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from deploy.engines import Engines
from deploy.engines.ladder import EngineError

_LOOK_S: Final = 0.2
_FAILED_S: Final = 2.0


class Keeper:
    """While entered, an engine that ends by itself is started again. Drills that stop engines do without one."""

    def __init__(self, engines: Engines, tell: Callable[[str], None]) -> None:
        """
        Args:
            engines: Running ones.
            tell: Called with a line for people whenever an engine died or came back.
        """
        named = {"PostgreSQL": engines.postgres, "Valkey": engines.valkey}
        self._private: Final = {name: engine for name, engine in named.items() if engine is not None}
        self._tell = tell
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = _LOOK_S
        while not self._leaving.wait(pause_s):
            pause_s = _LOOK_S
            for name, engine in self._private.items():
                if engine.pid is not None:
                    continue
                self._tell(f"{name} died; starting it again")
                try:
                    engine.start()
                except EngineError as problem:
                    self._tell(f"{name} does not start: {problem}")
                    pause_s = _FAILED_S
                else:
                    self._tell(f"{name} is back")
