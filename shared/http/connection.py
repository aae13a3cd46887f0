"""Connections that know whether a request byte left, where they may go, and when all must be over."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from shared.errors import NotSent
from shared.http.addresses import Address, AddressGuard
from shared.http.answer import Answer, TimedResponse
from shared.http.exchange import Exchange
from shared.http.own import OwnServices

# What ``socket.getaddrinfo`` gives: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
GetAddressInfo = Callable[..., Sequence[AddressInfo]]

Origin = tuple[str, str, int]  # scheme, host, port

_NONE: Final[Mapping[str, str]] = {}
_NONE_OF_OURS: Final = OwnServices()
_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)


@dataclass(frozen=True, slots=True)
class Route:
    """
    How connections find their peer, and how long they may idle and still be used.

    Without a guard any address will do: that is for hosts which the operator chose.
    """

    guard: AddressGuard | None = None
    own: OwnServices = _NONE_OF_OURS
    getaddrinfo: GetAddressInfo = socket.getaddrinfo
    max_idle_s: float = 20.0

    def check(self, scheme: str, port: int, found: Sequence[AddressInfo], patience_s: Callable[[], float]) -> None:
        """
        Look whether the addresses *found* may be connected to; no other is, so that a name cannot change meanwhile.

        Raises:
            ForbiddenAddress: One of them may not.
        """
        if self.guard is None:
            return
        addresses = [_address(info) for info in found]
        self.guard.check(scheme, port, addresses)

        def look_up(name: str) -> list[Address]:
            try:
                return [_address(info) for info in self.resolve(name, port, patience_s())]
            except NotSent:
                return []  # a service of ours that has no address is not what was found

        self.own.check(port, addresses, look_up)

    def resolve(self, host: str, port: int, patience_s: float) -> Sequence[AddressInfo]:
        """
        Look *host* up, for at most *patience_s*.

        In a thread of its own, as a look-up cannot be interrupted and a name server of the receiver's may
        take its time; the thread ends when the resolver gives up.
        """
        answers: SimpleQueue[Sequence[AddressInfo] | None] = SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(self.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except (OSError, ValueError):  # ValueError: a NUL, or a label that IDNA refuses
                answers.put(None)

        Thread(target=look_up, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=patience_s)
        except Empty:
            raise NotSent("name_look_up_timeout") from None
        if not answer:
            raise NotSent("name_not_resolved")
        return answer


class TrackedConnection(HTTPConnection):
    """A connection that resolves once, connects to the address it checked, and reports its first byte."""

    scheme = "http"

    def __init__(self, exchange: Exchange, route: Route, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchange = exchange
        self._route = route
        self._used_at = time.monotonic()
        self._body = b""
        self.response_class = cast("type[http.client.HTTPResponse]", partial(TimedResponse, exchange))

    @property
    def is_connected(self) -> bool:
        """False also after long idling: the peer may be about to close, and our request would meet that."""
        return time.monotonic() - self._used_at < self._route.max_idle_s and super().is_connected

    def request(  # type: ignore[override]
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = _NONE, **_: Any
    ) -> None:
        """
        Send a request, *body* being bytes or None, in one write: one packet, one TLS record.

        The head is put together at once, Host included; urllib3 and the standard library check and copy each field
        twice, a quarter of an exchange's time.
        """
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if not fields.isascii() or fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
            raise ValueError("a header holds a line end, or more than ASCII")
        self._body = body or b""
        self.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
        self._buffer: list[bytes]
        self._buffer.append(fields.encode().removesuffix(b"\r\n"))
        self.endheaders()

    def getresponse(self) -> Answer:  # type: ignore[override]
        """
        Read the head of the answer.

        urllib3 would check and copy its fields again and prepare for decoding, a quarter of an exchange's time.
        """
        return Answer(cast("TimedResponse", http.client.HTTPConnection.getresponse(self)))

    def send(self, data: Any) -> None:
        """Write head and body. From the first byte on, nobody can say that nothing happened."""
        if self.sock is None:
            self.connect()
        exchange = self._exchange
        self.sock.settimeout(exchange.patience(exchange.read_s))
        exchange.is_sent = True
        self._used_at = time.monotonic()
        super().send(data + self._body)

    def _new_conn(self) -> socket.socket:
        """
        Resolve, check and connect.

        The host name stays what SNI, certificate and Host header are about. What is left of ``connect_s`` is
        shared evenly by the addresses still to be tried, so that one black hole does not hide the others.
        """
        exchange, port = self._exchange, int(self.port or 0)
        give_up_at = time.monotonic() + exchange.patience(exchange.connect_s)
        found = self._route.resolve(self._dns_host, port, exchange.patience(exchange.connect_s))
        self._route.check(self.scheme, port, found, partial(exchange.patience, exchange.connect_s))
        reason = ""
        for tried, (family, kind, protocol, _, address) in enumerate(found):
            share = (give_up_at - time.monotonic()) / (len(found) - tried)
            if share <= 0:
                break
            try:
                sock = _connected(socket.socket(family, kind, protocol), address, share)
            except TimeoutError:
                reason = "connect_timeout"
            except OSError as error:
                reason = "refused" if isinstance(error, ConnectionRefusedError) else "unreachable"
            else:
                sock.settimeout(max(give_up_at - time.monotonic(), 0.001))  # what the TLS handshake may take
                return sock
        raise NotSent(reason or "connect_timeout")


class TrackedHTTPSConnection(TrackedConnection, HTTPSConnection):
    """The same over TLS. The handshake is not a request byte: a failed one leaves the request unsent."""

    scheme = "https"


def pool_for(origin: Origin, exchange: Exchange, route: Route, tls: Callable[[], ssl.SSLContext]) -> HTTPConnectionPool:
    """One thread's connection to *origin*, kept alive between requests."""
    scheme, host, port = origin
    if scheme == "https":
        secure = HTTPSConnectionPool(host, port, maxsize=1, ssl_context=tls())
        secure.ConnectionCls = cast("Any", partial(TrackedHTTPSConnection, exchange, route))
        return secure
    pool = HTTPConnectionPool(host, port, maxsize=1)
    pool.ConnectionCls = cast("Any", partial(TrackedConnection, exchange, route))
    return pool


def _address(info: AddressInfo) -> Address:
    return ip_address(info[4][0])


def _connected(sock: socket.socket, address: tuple[Any, ...], patience_s: float) -> socket.socket:
    try:
        for option in _SOCKET_OPTIONS:
            sock.setsockopt(*option)
        sock.settimeout(patience_s)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
