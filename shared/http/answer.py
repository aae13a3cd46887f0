"""Answers, read no further and no longer than the exchange allows."""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import Any, Final, Literal, cast

from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from shared.http.exchange import Exchange

_MOST_FIELDS: Final = 100
_LONGEST_LINE: Final = 65536  # bytes
_LONGEST_HEAD: Final = 65536  # bytes of all its fields together
_MOST_INTERIM: Final = 20  # hints before an answer: whoever sends more keeps us busy, not informed
_MOST_DIGITS: Final = 15  # of a length
_HEXADECIMAL: Final = b"0123456789abcdefABCDEF"
_BODILESS: Final = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)


class Fields(dict[str, str]):
    """
    Header fields by name in any case. Of a repeated one the first holds.

    Kept in lower case; only what :class:`Reply` and the standard library ask with ignores it.
    """

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, *default* where it is missing."""
        return super().get(name.lower(), default)


class Answer:
    """What urllib3's pool and requests' adapter take for a response: no more than a head and what follows it."""

    #: What the pool writes into its log at a level that nobody turns on.
    version_string = "HTTP/1.1"
    length_remaining: int | None = None

    def __init__(self, plain: TimedResponse) -> None:
        self.status = plain.status
        self.headers = plain.headers
        self.retries: Any = None
        self._plain = plain
        # Set by the pool. Without a connection the answer has given it back.
        self._connection: HTTPConnection | None = None
        self._pool: HTTPConnectionPool | None = None

    def read(self, amount: int) -> bytes:
        """At most so many bytes of the body, undecoded; b"" at its end, where the connection becomes free."""
        plain = self._plain
        chunk = plain.read(amount)
        if not chunk and plain.length:
            raise http.client.IncompleteRead(b"", plain.length)
        if plain.isclosed():
            self.release_conn()
        return chunk

    def close(self) -> None:
        """Read no further: the connection cannot be used again."""
        self._plain.close()
        if self._connection is not None:
            self._connection.close()
        self.release_conn()

    def release_conn(self) -> None:
        """Give the connection back to its pool, once."""
        connection, self._connection = self._connection, None
        if connection is not None and self._pool is not None:
            self._pool._put_conn(connection)  # noqa: SLF001  what urllib3's own response does

    def get_redirect_location(self) -> Literal[False]:
        """Nowhere: redirects are answers like others."""
        return False


class TimedResponse(http.client.HTTPResponse):
    """An answer whose every read is cut to what the exchange has left."""

    # Of the parent, and unknown to its type stubs.
    length: int | None
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
        status, interim = http.client.CONTINUE, 0
        # Hints and the like come before the answer (RFC 9110 15.2); a switch of protocols was not asked for.
        while http.client.CONTINUE <= status < http.client.OK and status != http.client.SWITCHING_PROTOCOLS:
            if interim > _MOST_INTERIM:
                raise http.client.HTTPException("too many interim answers")
            interim += 1
            version, status, reason = self._read_status()
            self.headers = self.msg = cast("http.client.HTTPMessage", self._read_fields())
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.code = self.status = status
        self.reason = reason.strip()
        has_body = status not in _BODILESS and self._method != "HEAD"
        self.chunked = has_body and self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = self._announced_length()
        self.will_close = self._check_close() or (not self.chunked and self.length is None)

    def _read_fields(self) -> Fields:
        fields, room = Fields(), _LONGEST_HEAD
        for _ in range(_MOST_FIELDS):
            line = self.fp.readline(room)
            room -= len(line)
            if line in (b"\r\n", b"\n"):
                return fields
            if not line.endswith(b"\n"):
                if self._reader.is_at_end:
                    raise http.client.RemoteDisconnected("closed within the headers")
                raise http.client.LineTooLong("header lines")
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():  # nor folded ones, which nobody may send (RFC 9112 5.2)
                raise http.client.HTTPException("garbled header")
            fields.setdefault(name.lower(), value.strip())
        raise http.client.HTTPException("too many headers")

    def _announced_length(self) -> int | None:
        if self.status in _BODILESS or self._method == "HEAD":
            return 0
        length = self.headers.get("content-length", "").strip()
        if self.chunked or not length.isascii() or not length.isdigit():
            return None
        if len(length) > _MOST_DIGITS:
            raise http.client.HTTPException("garbled length")
        return int(length)

    def _read_next_chunk_size(self) -> int:
        """The standard library takes a sign, and reads to the end of the connection for a negative one."""
        line = self.fp.readline(_LONGEST_LINE)
        size = line.partition(b";")[0].strip()
        if not size or len(size) > _MOST_DIGITS or size.strip(_HEXADECIMAL):
            raise http.client.HTTPException("garbled chunk")
        return int(size, 16)


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
