"""One front: a port of ours before somebody else's, and what goes wrong between the two."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from deploy.chaos.faults import Fault, Kind, Way

_HOST: Final = "127.0.0.1"
_PIECE: Final = 64 * 1024
#: A throttled piece takes about so long, in seconds.
_PIECE_S: Final = 0.05
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER, with no time: RST instead of FIN


class _Struck(Exception):
    """The connection is to be reset."""


class _Connection:
    """One client's connection, and what it has suffered under the faults of now."""

    def __init__(self, number: int, client: asyncio.StreamWriter) -> None:
        self.number = number
        self.writers = [client]
        self.is_asking = False  # bytes went up, none has come down since
        self.replies = 0  # begun
        self.chosen: dict[Fault, bool] = {}
        self.struck: set[Fault] = set()
        self.passed: Counter[tuple[Fault, Way]] = Counter()

    def reset(self) -> None:
        """RST to the client; the upstream loses it, too."""
        for writer in self.writers:
            with suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            writer.transport.abort()


class Front:
    """A listening port that passes connections on to *upstream*, or does to them what its faults say."""

    def __init__(self, name: str, upstream: str, seed: int, tell: Callable[..., None]) -> None:
        """
        Args:
            name: For the timeline.
            upstream: ``host:port`` or ``unix:/path``.
            seed: Decides, with the name and the connection's number, which connections are struck.
            tell: Writes a line of the timeline.
        """
        self._name = name
        self._upstream = upstream
        self._seed = seed
        self._tell = tell
        self._faults: tuple[Fault, ...] = ()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._strikes: Counter[Fault] = Counter()
        self.counts: Counter[str] = Counter()
        self.port = 0

    async def listen(self) -> None:
        """Take connections, at the same port each time."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, _HOST, self.port, limit=_PIECE, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, faults: Sequence[Fault]) -> None:
        """From now on these and no others; whatever an earlier black hole holds back goes on."""
        self._faults = tuple(faults)
        self._strikes.clear()
        for connection in self._open:
            connection.chosen.clear()
            connection.struck.clear()
            connection.passed.clear()
        self._changed.set()
        self._changed = asyncio.Event()
        if any(fault.closes_the_door for fault in faults):
            if self._server is not None:
                self._server.close()
                self._server = None
        else:
            await self.listen()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        connection = _Connection(self.counts["connections"], writer)
        self._open.add(connection)
        try:
            if self._struck(connection, Kind.REFUSE):
                raise _Struck  # noqa: TRY301  as the pumps do
            await self._hold(connection)
            up_reader, up_writer = await self._connect()
            connection.writers.append(up_writer)
            await self._pump_both(connection, (reader, up_writer), (up_reader, writer))
        except _Struck:
            connection.reset()
        except OSError:
            self.counts["broken"] += 1
        except asyncio.CancelledError:
            return  # the drill is over; asyncio's own callback would complain of it
        finally:
            self._open.discard(connection)
            for one in connection.writers:
                one.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.startswith("unix:"):
            return await asyncio.open_unix_connection(self._upstream.removeprefix("unix:"), limit=_PIECE)
        host, _, port = self._upstream.rpartition(":")
        return await asyncio.open_connection(host.strip("[]"), int(port), limit=_PIECE)

    async def _pump_both(self, connection: _Connection, up: Any, down: Any) -> None:
        """Until both sides have ended, or one breaks off."""
        pumps = [
            asyncio.create_task(self._pump(connection, Way.UP, *up)),
            asyncio.create_task(self._pump(connection, Way.DOWN, *down)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, connection: _Connection, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(self._size()):
            await self._hold(connection)
            if way is Way.UP:
                connection.is_asking = True
            elif connection.is_asking:
                connection.is_asking = False
                await self._reply_begins(connection)
            await self._slow_down(connection, len(piece))
            whole = self._until_reset(connection, way, piece)
            writer.write(whole)
            await writer.drain()
            self.counts[f"bytes_{way}"] += len(whole)
            if len(whole) < len(piece):
                raise _Struck
        if writer.can_write_eof():
            writer.write_eof()

    def _size(self) -> int:
        rates = [fault.bytes for fault in self._faults if fault.kind is Kind.THROTTLE]
        return max(1, min([_PIECE, *(int(rate * _PIECE_S) for rate in rates)]))

    async def _hold(self, connection: _Connection) -> None:
        while self._struck(connection, Kind.BLACK_HOLE):
            await self._changed.wait()

    async def _reply_begins(self, connection: _Connection) -> None:
        connection.replies += 1
        if self._struck(connection, Kind.CUT_REPLY):
            raise _Struck
        if fault := self._struck(connection, Kind.DELAY_REPLY):
            await asyncio.sleep(fault.seconds)

    async def _slow_down(self, connection: _Connection, size: int) -> None:
        if fault := self._struck(connection, Kind.LATENCY):
            await asyncio.sleep(fault.seconds + fault.jitter_s * random.random())  # noqa: S311  jitter
        if fault := self._struck(connection, Kind.THROTTLE):
            await asyncio.sleep(size / fault.bytes)

    def _until_reset(self, connection: _Connection, way: Way, piece: bytes) -> bytes:
        """As much of *piece* as passes before a reset; all of it without one."""
        for fault in self._faults:
            if fault.kind is Kind.RESET and fault.way is way:
                room = fault.bytes - connection.passed[fault, way]
                connection.passed[fault, way] += len(piece)
                if room < len(piece) and self._strikes_now(connection, fault):
                    return piece[: max(0, room)]
        return piece

    def _struck(self, connection: _Connection, kind: Kind) -> Fault | None:
        """The fault of this kind that strikes the connection now."""
        fault = next((one for one in self._faults if one.kind is kind), None)
        return fault if fault is not None and self._strikes_now(connection, fault) else None

    def _strikes_now(self, connection: _Connection, fault: Fault) -> bool:
        """Whether it does; the first time it is counted and told."""
        if fault in connection.struck:
            return True
        if connection.replies < fault.skip_replies + (fault.kind in (Kind.CUT_REPLY, Kind.DELAY_REPLY)):
            return False
        if fault not in connection.chosen:
            luck = random.Random(f"{self._seed} {self._name} {fault.kind} {connection.number}")  # noqa: S311
            connection.chosen[fault] = luck.random() < fault.share
        if not connection.chosen[fault] or (fault.count is not None and self._strikes[fault] >= fault.count):
            return False
        self._strikes[fault] += 1
        connection.struck.add(fault)
        self.counts[fault.kind] += 1
        self._tell(event="strike", front=self._name, kind=fault.kind, connection=connection.number)
        return True
