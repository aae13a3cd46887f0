"""Providers of a drill's own: well ones, and one for each way in which an endpoint can be hostile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Final, Self

from deploy import fleet
from deploy.chaos.companions import Companion
from deploy.chaos.drill import Drill
from deploy.chaos.faults import Fault, Kind
from deploy.chaos.proxy import upstream_of
from deploy.receiver import ModeKind
from deploy.trial import HOST

DRIP: Final = "drip"
HOLE: Final = "hole"
BOMB: Final = "bomb"
#: How many are hostile.
HOSTILE: Final = 3
_DRIP_S: Final = 0.2  # between two bytes
_OK: Final = {"kind": ModeKind.OK}
#: A body that unpacks to a thousand times its size, and one that never ends.
BOMBS: Final = (ModeKind.GZIP_BOMB, ModeKind.ENDLESS)


class Crowd:
    """
    So many well providers and the hostile ones, as a context manager.

    The well endpoints have a receiver process of their own: what a hostile one's receiver has to do must not delay
    theirs, which is where times are taken. Each endpoint is well until :meth:`hostile`.
    """

    def __init__(self, drill: Drill, well: int) -> None:
        self._drill = drill
        self._names = [f"well{place}" for place in range(well)]
        self._mark = time.monotonic_ns()  # a drill may be played twice on a stage
        self._hole = f"{HOLE}-{self._mark}"
        self._held = ExitStack()
        self.well: list[Mapping[str, str]] = []
        self.everybody: list[Mapping[str, str]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            _, self.well = self._join(stack, self._names, {})
            port = fleet.free_port(HOST)
            front = self._drill.stage.proxy.front(self._hole, upstream_of(f"http://{HOST}:{port}"))
            self._receiver, hostile = self._join(stack, (DRIP, HOLE, BOMB), {HOLE: f"http://{front}"}, port)
            self.everybody = [*self.well, *hostile]
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _join(
        self, stack: ExitStack, names: Sequence[str], ways: Mapping[str, str], port: int | None = None
    ) -> tuple[Companion, list[Mapping[str, str]]]:
        """Providers whose endpoints share one receiver: that, and their headers."""
        stage = self._drill.stage
        port = port or fleet.free_port(HOST)
        headers: list[Mapping[str, str]] = []
        secrets: dict[str, str] = {}
        for name in names:
            url = f"{ways.get(name, f'http://{HOST}:{port}')}/{name}"
            header, secrets[f"/{name}"] = stage.add_provider(f"{name} {self._mark}", url)
            headers.append(header)
        return stack.enter_context(stage.receiving(port, secrets)), headers

    @contextmanager
    def hostile(self, bomb: ModeKind) -> Iterator[None]:
        """Let one endpoint drip, one swallow everything, and one send this bomb, while entered."""
        modes = {f"/{DRIP}": {"kind": ModeKind.DRIP, "seconds": _DRIP_S}, f"/{BOMB}": {"kind": bomb}}
        with (
            self._drill.noted("receiver", f"drip, {bomb}"),
            self._drill.faults(self._hole, Fault(kind=Kind.BLACK_HOLE)),
        ):
            self._receiver.ask(json.dumps(modes))
            try:
                yield
            finally:
                self._receiver.ask(json.dumps(dict.fromkeys(modes, _OK)))
