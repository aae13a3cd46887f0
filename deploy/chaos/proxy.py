"""The proxy as its conductor holds it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from deploy import fleet
from deploy.chaos.faults import Fault, FaultError

_ANSWER_S: Final = 10.0
TIMELINE: Final = "faults.jsonl"


class FaultProxy:
    """
    A process with a front before each upstream, as a context manager; it ends with us, however we end.

    What it does to whom is the same for the same seed and the same order of connections. Every fault that is set, and
    every connection that one strikes, is a line of ``faults.jsonl`` in the folder. Any thread may call; enter it in
    one that lasts, as the kernel takes that thread's end for ours.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.timeline: Final = folder / TIMELINE
        self._seed = seed
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "deploy.chaos.process", str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(
                [*command, str(self._seed), str(self.timeline.absolute())],
                pass_fds=[theirs.fileno()],
                cwd=fleet.PROJECT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.settimeout(_ANSWER_S)
        self._socket, self._answers = ours, ours.makefile("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.close()
        self._socket.close()
        try:
            self._process.wait(_ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Of the proxy's process."""
        return self._process.pid

    def front(self, name: str, upstream: str) -> str:
        """Listen before *upstream* (``host:port`` or ``unix:/path``); returns the ``host:port`` to use in its place."""
        return f"127.0.0.1:{self._ask(do='front', name=name, upstream=upstream)}"

    def set(self, name: str, *faults: Fault) -> None:
        """Let these faults and no others happen at *name* from now on, at most one of each kind."""
        self._ask(do="set", name=name, faults=[fault.as_json() for fault in faults])

    def clear(self, name: str) -> None:
        """Let everything pass at *name*; what a black hole held back goes on."""
        self.set(name)

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each front: connections, bytes up and down, and how many connections each kind of fault struck."""
        counted: dict[str, dict[str, int]] = self._ask(do="counts")
        return counted

    def _ask(self, **asked: Any) -> Any:
        with self._turn:
            self._socket.sendall(json.dumps(asked).encode() + b"\n")
            line = self._answers.readline()
        if not line:
            raise FaultError("the proxy has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise FaultError(answer["error"])
        return answer["done"]


def upstream_of(url: str) -> str:
    """What stands behind a URL of PostgreSQL, Redis or HTTP, as a front takes it."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.scheme == "unix":
        return f"unix:{unquote(parts.path)}"
    if "host" in query:
        return f"unix:{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
    usual = {"redis": 6379, "postgresql": 5432, "https": 443}.get(parts.scheme, 80)
    return f"{parts.hostname}:{parts.port or usual}"


def url_through(url: str, address: str) -> str:
    """The same URL, by way of a front's *address*."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return f"redis://{address}/{database}"
    login = parts.netloc.rpartition("@")[0] or quote(parts.username or "")
    query = "" if "host" in parse_qs(parts.query) else parts.query
    return parts._replace(netloc=f"{login}@{address}" if login else address, query=query).geturl()
