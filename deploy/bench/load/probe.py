"""
``python -m deploy.bench.load.probe``: a few clients with time to spare, beside a flood that has none.

Reads ``{"url", "headers", "seconds", "pause_s", "body", "first_phone"}`` on its standard input and writes a list of
``{"status", "arrived_ms", "seen_ms"}``: from a request's sending until its answer has arrived at the client's kernel,
which is the service's time and the machine's, and until the client has seen it, which is the client's own as well.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.bench.load.wire import post
from shared import lifeline

_CLIENTS: Final = 32  # connections: most are let in and wait, the others' refusals are what is asked for
_TIMEOUT_S: Final = 10
_READ: Final = 65536
#: Linux's SO_TIMESTAMPNS, which Python does not name: the kernel's clock at a packet's arrival.
_ARRIVAL: Final = 35
_MOMENT: Final = struct.Struct("@ll")
_MS: Final = 1e6


class _Client:
    def __init__(self, asked: dict[str, Any], number: int) -> None:
        self._asked = asked
        self._number = number
        self.answers: list[dict[str, float]] = []

    def run(self) -> None:
        """One request after the other until the time is over."""
        asked = self._asked
        ends_at = time.monotonic() + asked["seconds"]
        parts = urlsplit(asked["url"])
        with socket.create_connection((parts.hostname or "", parts.port or 80), _TIMEOUT_S) as line:
            if sys.platform == "linux":
                line.setsockopt(socket.SOL_SOCKET, _ARRIVAL, 1)
            while time.monotonic() < ends_at:
                number = self._number + _CLIENTS * len(self.answers)
                body = asked["body"].replace("{id}", f"probe-{asked['first_phone'] + number}")
                body = body.replace("{phone}", str(asked["first_phone"] + number))
                self.answers.append(_exchange(line, post(asked["url"], body.encode(), asked["headers"])))
                time.sleep(asked["pause_s"])  # a probe adds next to no load


def _exchange(line: socket.socket, request: bytes) -> dict[str, float]:
    sent = time.time_ns()
    line.sendall(request)
    answer, told, _, _ = line.recvmsg(_READ, socket.CMSG_SPACE(_MOMENT.size))
    seen = arrived = time.time_ns()
    if not answer:
        raise ConnectionResetError
    for level, kind, data in told:
        if (level, kind) == (socket.SOL_SOCKET, _ARRIVAL):
            seconds, nanoseconds = _MOMENT.unpack(data[: _MOMENT.size])
            arrived = seconds * 1_000_000_000 + nanoseconds
    _read_rest(line, answer)
    return {"status": int(answer[9:12]), "arrived_ms": (arrived - sent) / _MS, "seen_ms": (seen - sent) / _MS}


def _read_rest(line: socket.socket, answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        more = line.recv(_READ)
        if not more:
            raise ConnectionResetError
        body += more


def main() -> None:
    """Ask as told."""
    lifeline.watch_parent()
    asked = json.loads(sys.stdin.read())
    clients = [_Client(asked, number) for number in range(_CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([answer for client in clients for answer in client.answers]))


if __name__ == "__main__":
    main()
