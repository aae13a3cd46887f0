"""JSON over HTTP to our own processes on this machine, by the standard library, which is here already."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

_TIMEOUT_S: Final = 5.0
_PAUSE_S: Final = 0.03


class DemoError(Exception):
    """The demonstration does not work; the text says what was expected and what came."""


def basic(user: str, password: str) -> str:
    """An ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def ask(method: str, url: str, authorization: str = "", body: Any = None) -> tuple[int, Any]:
    """
    Send one request; returns the status and the parsed body, None if it is no JSON.

    Raises:
        OSError: Nobody listens, or the connection broke.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    path = parts.path + ("?" + parts.query if parts.query else "")
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        raw = response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    try:
        return response.status, json.loads(raw)
    except ValueError:
        return response.status, None


def until(what: str, deadline: float, look: Callable[[], Any]) -> Any:
    """
    The first truthy answer of *look*; an ``OSError`` counts as none yet.

    Raises:
        DemoError: None came by *deadline*, a ``time.monotonic()``.
    """
    last = "nothing"
    while time.monotonic() < deadline:
        try:
            if answer := look():
                return answer
        except OSError as error:
            last = str(error)
        time.sleep(_PAUSE_S)
    raise DemoError(f"{what}: not in time ({last})")
