"""What Flask is told of a request: granian's scope in the words of PEP 3333."""

from __future__ import annotations

import io
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from granian.rsgi import Headers, Scope  # type: ignore[attr-defined]  # imported to be so

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: When all of the request was here, and from when on it only waits, as it asked to, both on the performance counter.
BEGAN: Final = "ringpost.began"
RESTS: Final = "ringpost.rests"
_PROTOCOLS: Final = {"1": "HTTP/1.0"}
#: Header names that are remembered: senders use few, but may make up any.
_NAMES: Final = 256
_NOT_PREFIXED: Final = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


@lru_cache(maxsize=_NAMES)
def _key(name: str) -> str:
    """CGI's name for a header, from its name in lower case."""
    return _NOT_PREFIXED.get(name) or "HTTP_" + name.upper().replace("-", "_")


def environ_of(scope: Scope, path: str, headers: Headers, body: bytes) -> WSGIEnvironment:
    """What PEP 3333 wants to know of a request."""
    host, _, port = scope.server.rpartition(":")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": _PROTOCOLS.get(scope.http_version, "HTTP/" + scope.http_version),
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        BEGAN: time.perf_counter(),
    }
    for name, value in headers.items():
        if "_" in name:  # CGI cannot tell X_Forwarded_For from X-Forwarded-For, which proxies answer for
            continue
        key = _key(name)
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ.setdefault("CONTENT_LENGTH", str(len(body)))
    return environ
