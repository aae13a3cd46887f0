"""Connections that know whether a request byte left, where they may go, and when all must be over."""

import http.client
import io
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

from urllib3.connection import HTTPConnection, HTTPSConnection, _ResponseOptions
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from shared.errors import NotSent
from shared.http.addresses import AddressGuard

# What ``socket.getaddrinfo`` gives: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
GetAddressInfo = Callable[..., Sequence[AddressInfo]]

Origin = tuple[str, str, int]  # scheme, host, port

_NONE: Final[Mapping[str, str]] = {}
_MOST_FIELDS: Final = 100
_LONGEST_LINE: Final = 65536  # bytes
_BODILESS: Final = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)

_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)


class Exchange:
    """
    The request one thread is sending: whether its first byte left, and how long it may still take.

    Every wait on the socket asks here first and is cut to what is left of the whole, so a peer that drips its
    answer, or its handshake, byte by byte gains nothing.
    """

    __slots__ = ("connect_s", "deadline", "is_sent", "read_s")

    def __init__(self) -> None:
        self.begin(connect_s=0.0, read_s=0.0, total_s=0.0)

    def begin(self, *, connect_s: float, read_s: float, total_s: float) -> None:
        """Start anew: nothing sent yet, and the clock of the whole runs. All in seconds."""
        self.is_sent = False
        self.connect_s = connect_s
        self.read_s = read_s
        self.deadline = time.monotonic() + total_s

    def patience(self, silence_s: float) -> float:
        """Seconds to wait for the peer's next sign of life; TimeoutError once the whole took too long."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(silence_s, left)


@dataclass(frozen=True, slots=True)
class Route:
    """
    How connections find their peer, and how long they may idle and still be used.

    Without a guard any address will do: that is for hosts which the operator chose.
    """

    guard: AddressGuard | None = None
    getaddrinfo: GetAddressInfo = socket.getaddrinfo
    max_idle_s: float = 20.0

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
        self.response_class = cast("type[http.client.HTTPResponse]", partial(_TimedResponse, exchange))

    @property
    def is_connected(self) -> bool:
        """False also after long idling: the peer may be about to close, and our request would meet that."""
        return time.monotonic() - self._used_at < self._route.max_idle_s and super().is_connected

    def request(  # type: ignore[override]
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = _NONE, **how: Any
    ) -> None:
        """
        Send a request, *body* being bytes or None, in one write: one packet, one TLS record.

        The head is put together at once, Host included; urllib3 and the standard library check and copy each field
        twice, a quarter of an exchange's time.
        """
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if not fields.isascii() or fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
            raise ValueError("a header holds a line end, or more than ASCII")
        how.pop("chunked", None)
        self._response_options = _ResponseOptions(request_method=method, request_url=url, **how)
        self._body = body or b""
        self.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
        self._buffer: list[bytes]
        self._buffer.append(fields.encode().removesuffix(b"\r\n"))
        self.endheaders()

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
        if self._route.guard is not None:
            self._route.guard.check(self.scheme, port, [ip_address(info[4][0]) for info in found])
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


def pool_for(origin: Origin, exchange: Exchange, route: Route, tls: ssl.SSLContext) -> HTTPConnectionPool:
    """One thread's connection to *origin*, kept alive between requests."""
    scheme, host, port = origin
    if scheme == "https":
        secure = HTTPSConnectionPool(host, port, maxsize=1, ssl_context=tls)
        secure.ConnectionCls = cast("Any", partial(TrackedHTTPSConnection, exchange, route))
        return secure
    pool = HTTPConnectionPool(host, port, maxsize=1)
    pool.ConnectionCls = cast("Any", partial(TrackedConnection, exchange, route))
    return pool


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


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose every read is cut to what the exchange has left."""

    # Of the parent, and unknown to its type stubs.
    _method: str
    _read_status: Callable[[], tuple[str, int, str]]
    _check_close: Callable[[], bool]

    def __init__(self, exchange: Exchange, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _TimedReader(exchange, sock, self.fp.detach())
        self.fp: io.BufferedReader = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """
        Read the head (RFC 9112).

        The standard library takes one that breaks off for a whole one, and has the parser for e-mail read its
        fields, a fifth of an exchange's time; we do neither.
        """
        status = http.client.CONTINUE
        while status == http.client.CONTINUE:
            version, status, reason = self._read_status()
            self.headers = self.msg = self._read_fields()
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.code = self.status = status
        self.reason = reason.strip()
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = self._announced_length()
        self.will_close = self._check_close() or (not self.chunked and self.length is None)

    def _read_fields(self) -> http.client.HTTPMessage:
        fields = http.client.HTTPMessage()
        for _ in range(_MOST_FIELDS):
            line = self.fp.readline(_LONGEST_LINE)
            if line in (b"\r\n", b"\n"):
                return fields
            if not line.endswith(b"\n"):
                if self._reader.is_at_end:
                    raise http.client.RemoteDisconnected("closed within the headers")
                raise http.client.LineTooLong("header line")
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():  # folded lines are gone since RFC 9112 5.2
                raise http.client.HTTPException("garbled header")
            fields.set_raw(name, value.strip())
        raise http.client.HTTPException("too many headers")

    def _announced_length(self) -> int | None:
        if self.status in _BODILESS or self._method == "HEAD":
            return 0
        length = self.headers.get("content-length", "").strip()
        return int(length) if length.isascii() and length.isdigit() and not self.chunked else None


class _TimedReader(io.RawIOBase):
    def __init__(self, exchange: Exchange, sock: socket.socket, stream: io.RawIOBase) -> None:
        self._exchange = exchange
        self._sock = sock
        self._stream = stream
        self.is_at_end = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        exchange = self._exchange
        self._sock.settimeout(exchange.patience(exchange.read_s))
        count = self._stream.readinto(buffer)
        self.is_at_end = count == 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
