"""Clients that take their time: whoever waits for them to come to an end waits long."""

import asyncio
import time

from tests.contract.raw_client import PATIENCE

_POST = b"POST /api/make-call HTTP/1.1\r\nHost: x\r\n"
#: What each sends first, and what it drips from then on.
KINDS = {
    "says nothing": (b"", b""),
    "drips its request line": (b"GET /hea", b"x"),
    "drips header lines": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
    "drips another head after a request": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET", b"x"),
    "drips its body": (_POST + b"Content-Length: 1000\r\n\r\n", b"x"),
    "drips chunks": (_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}
_EVERY_S = 5
_HONEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def hang(port, kind, patience_s):
    """Seconds until the server closes the connection; None when it does not in time."""
    first, drop = KINDS[kind]
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    try:
        while time.monotonic() - began < patience_s:
            try:
                if not await asyncio.wait_for(reader.read(65536), _EVERY_S):
                    return time.monotonic() - began
            except TimeoutError:
                writer.write(drop)
            except ConnectionError:
                return time.monotonic() - began
        return None
    finally:
        writer.close()


async def honest(port, count):
    """The median of so many requests, each on a connection of its own, in seconds."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_HONEST)
        assert (await asyncio.wait_for(reader.readline(), PATIENCE)).split()[1] == b"200"
        took.append(time.monotonic() - began)
        writer.close()
        await asyncio.sleep(0.005)
    return sorted(took)[count // 2]
