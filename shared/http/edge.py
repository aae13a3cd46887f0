"""The one way out: a whole exchange in one call, bounded in time and size, honest about what was sent."""

import http.client
import logging
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final, cast
from weakref import WeakSet

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connectionpool import HTTPConnectionPool

from shared.errors import NoReply, NotSent
from shared.http.connection import Origin, Route, pool_for
from shared.http.exchange import Exchange

# The first type that fits the innermost error names it in logs; whether a byte left is never read from here.
_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls_failed"),
    (http.client.RemoteDisconnected, "closed"),
    (ConnectionError, "reset"),
    (http.client.IncompleteRead, "cut_short"),
    (urllib3.exceptions.IncompleteRead, "cut_short"),
    (http.client.HTTPException, "garbled"),
)
_TLS_TURN: Final = threading.Lock()
_CHUNK: Final = 64 * 1024  # bytes that a sink is given at once
#: Bytes that are read at once otherwise: of chunks of one byte each takes ninety until the piece is whole.
_PIECE: Final = 4 * 1024
_NO_TIMEOUT: Final = cast("Any", urllib3.Timeout(None))  # the exchange sets one for every wait
_HEADERS: Final = {"user-agent": "Ringpost", "accept-encoding": "identity"}
_FAILURES: Final = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


logging.getLogger("urllib3.connection").setLevel(logging.ERROR)  # its warning on odd headers quotes the URL


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The bounds of one exchange.

    ``connect_s`` covers name look-up, TCP and TLS; ``read_s`` one silence of the peer; ``total_s`` all of
    it, on the wall clock. Of the body ``max_body`` bytes are read; the rest is dropped with the connection.
    """

    connect_s: float = 2.0
    read_s: float = 8.0
    total_s: float = 8.0
    max_body: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class Template:
    """A request but for its body, prepared once for many sends. Its headers may hold secrets."""

    method: str
    origin: Origin
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """
    An answer, read to its end or to ``max_body``, which ``is_whole`` tells apart.

    ``body`` is as it came over the wire, undecoded; ``headers`` ignore case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float
    is_whole: bool = True


def prepare(method: str, url: str, headers: Mapping[str, str] | None = None) -> Template:
    """
    Prepare a request for many sends.

    Raises:
        ValueError: For a URL or a header that cannot be sent. It quotes neither: both may hold a secret.
    """
    origin, target, host = _located(url)
    fields = {"Host": host, **_HEADERS, **_lowered(headers)}
    if not all(field.isascii() and field.isprintable() for pair in fields.items() for field in pair):
        raise ValueError("a header holds more than printable ASCII")
    return Template(method, origin, target, fields)


@lru_cache(maxsize=1024)
def _located(url: str) -> tuple[Origin, str, str]:
    """Where to connect, what to ask for there, of whom; kept, as a provider's URL comes up again and again."""
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
        parts = urllib3.util.parse_url(request.url or "")
    except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError):
        parts = urllib3.util.Url()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError("not an http or https URL")
    usual = 443 if parts.scheme == "https" else 80
    port = parts.port or usual
    host = parts.host if port == usual else f"{parts.host}:{port}"
    return (parts.scheme, parts.host, port), parts.request_uri, host


def _tls(ca_file: str) -> ssl.SSLContext:
    """One for all edges, made when the first https URL comes up: reading the certificates takes 28 ms of a start."""
    with _TLS_TURN:  # all senders ask at once
        return _new_tls(ca_file)


@lru_cache
def _new_tls(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class HttpEdge:
    """
    Sends requests and reads their answers, for any number of threads.

    No redirects, cookies, proxies or ``.netrc``, nothing from the environment, no second try. Each thread
    keeps its own connections alive, to the ``hosts`` it used last.
    """

    def __init__(self, route: Route | None = None, *, ca_file: str | None = None, hosts: int = 8) -> None:
        self._route = route or Route()
        self._hosts = hosts
        self._tls = partial(_tls, ca_file or DEFAULT_CA_BUNDLE_PATH)
        self._local = threading.local()
        self._adapters: WeakSet[_Adapter] = WeakSet()

    def send(
        self,
        template: Template,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        limits: Limits = Limits(),
        sink: Callable[[bytes], None] | None = None,
    ) -> Reply:
        """
        Send once and read the whole answer, whatever its status.

        With a *sink*, the body of a 200 goes there piece by piece, and is not kept.

        Raises:
            NotSent: No request byte left.
            NoReply: The request left, but no whole answer came in time.
        """
        adapter = self._adapter()
        exchange = adapter.exchange
        started_at = time.monotonic()
        exchange.begin(connect_s=limits.connect_s, read_s=limits.read_s, total_s=limits.total_s)
        request = _Request(template, body, headers)
        response: requests.Response | None = None
        try:
            response = adapter.send(request, stream=True, timeout=_NO_TIMEOUT)
            streamed = sink if response.status_code == 200 else None
            content, is_whole = _read(response.raw, limits.max_body, streamed)
        except _FAILURES as error:
            reason = _reason(error)
        else:
            elapsed_s = time.monotonic() - started_at
            status, fields = response.status_code, response.raw.headers
            return Reply(status, fields, content, elapsed_s, is_whole)
        # Raised out here so that it carries no context: those errors quote URLs.
        if not exchange.is_sent:
            raise NotSent(reason)
        raise NoReply(reason, response.status_code if response is not None else None)

    def close(self) -> None:
        """Close every thread's idle connections."""
        for adapter in list(self._adapters):
            adapter.close()

    def _adapter(self) -> "_Adapter":
        try:
            adapter: _Adapter = self._local.adapter
        except AttributeError:
            adapter = self._local.adapter = _Adapter(self._route, self._tls, self._hosts)
            self._adapters.add(adapter)
        return adapter


def _lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Names in one spelling: the same header in two is an error to strict receivers."""
    return {name.lower(): value for name, value in (headers or {}).items()}


class _Request(requests.PreparedRequest):
    """A template and its body in the shape ``HTTPAdapter.send`` takes, made without preparing anew."""

    def __init__(self, template: Template, body: bytes, headers: Mapping[str, str] | None) -> None:
        super().__init__()
        self.method = template.method
        self.origin = template.origin
        self.target = template.target
        fields = {**template.headers, **_lowered(headers)}
        if body:
            self.body = body
            fields["Content-Length"] = str(len(body))
        self.headers = cast("CaseInsensitiveDict[str]", fields)  # of which no more than a dict is used


class _Response(requests.Response):
    """An answer without the history, cookies and guesses that every call would pay for."""

    def __init__(self, request: requests.PreparedRequest, raw: Any) -> None:  # the parent's would build all those
        self.request = request
        self.raw = raw
        self.status_code = raw.status


class _Adapter(HTTPAdapter):
    """One thread's sender: ``HTTPAdapter.send`` over our connections, less what a bare exchange needs not."""

    def __init__(self, route: Route, tls: Callable[[], ssl.SSLContext], hosts: int) -> None:
        super().__init__()
        self.exchange = Exchange()
        self._route = route
        self._tls = tls
        self._hosts = hosts
        self._pools: OrderedDict[Origin, HTTPConnectionPool] = OrderedDict()

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *_: Any, **__: Any
    ) -> HTTPConnectionPool:
        """The pool of the request's origin; proxies and per-request TLS settings do not exist here."""
        origin = cast("_Request", request).origin
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = pool_for(origin, self.exchange, self._route, self._tls)
            if len(self._pools) > self._hosts:
                self._pools.popitem(last=False)[1].close()
        elif len(self._pools) > 1:
            self._pools.move_to_end(origin)
        return pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing to do: the TLS context of the edge verifies, and loads its certificates once."""

    def request_url(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> str:
        """What stands in the request line."""
        return cast("_Request", request).target

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """The answer, as far as it goes here."""
        return _Response(req, resp)

    def close(self) -> None:
        """Close the idle connections."""
        super().close()
        while self._pools:
            self._pools.popitem()[1].close()


def _read(raw: Any, limit: int, sink: Callable[[bytes], None] | None) -> tuple[bytes, bool]:
    """At most *limit* bytes, undecoded, and whether that is all. A longer answer is not read on: it is hung up on."""
    chunks: list[bytes] = []
    room = limit + 1
    most = _PIECE if sink is None else _CHUNK
    try:
        while room > 0 and (chunk := raw.read(min(room, most))):
            room -= len(chunk)
            (sink or chunks.append)(chunk[:-1] if room == 0 else chunk)
    except BaseException:
        raw.close()
        raise
    if room <= 0:
        raw.close()
    return b"".join(chunks), room > 0


def _reason(error: BaseException | None) -> str:
    """A word for the innermost error that has one."""
    reason = "broken"
    while error is not None:
        reason = next((name for kind, name in _REASONS if isinstance(error, kind)), reason)
        error = error.__context__
    return reason
