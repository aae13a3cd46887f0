"""HTTP/1.1 by hand, so that a request travels as it was drawn: odd heads, bodies byte by byte, in chunks of one."""

import asyncio

PATIENCE = 30  # s
_NO_BODY = (204, 304)


def head_of(asked):
    """The request up to its body."""
    headers = {"Host": "ringpost.example"} | asked.headers
    if asked.pieces == "chunks":
        headers["Transfer-Encoding"] = "chunked"
    elif asked.body or asked.method not in ("GET", "HEAD"):
        headers["Content-Length"] = str(len(asked.body))
    lines = [f"{asked.method} {asked.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"


async def read_answer(reader, method):
    """Status, headers by their names in lower case, and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    status = int(first.split()[1])
    if "chunked" in headers.get("transfer-encoding", "") and method != "HEAD":
        return status, headers, await _read_chunks(reader)
    size = 0 if method == "HEAD" or status in _NO_BODY else int(headers.get("content-length", 0))
    return status, headers, await asyncio.wait_for(reader.readexactly(size), PATIENCE)


async def _read_chunks(reader):
    body = b""
    while True:
        size = int(await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE), 16)
        piece = await asyncio.wait_for(reader.readexactly(size + 2), PATIENCE)
        body += piece[:size]
        if not size:
            return body


class Line:
    """One connection, opened anew when the server closes it."""

    def __init__(self, port):
        self.port, self._held = port, None

    async def send(self, asked):
        """The answer; ConnectionError when there is none at three tries."""
        for _ in range(3):
            fresh = self._held is None
            try:
                return await self._once(asked)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                self.close()
                last = error
                if not fresh:
                    continue
        raise ConnectionError(f"no answer to {asked.method} {asked.target}: {last!r}")

    async def _once(self, asked):
        if self._held is None:
            self._held = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._held
        answer = asyncio.ensure_future(read_answer(reader, asked.method))
        try:
            writer.write(head_of(asked))
            if asked.pieces == "chunks":
                for byte in asked.body:
                    writer.write(b"1\r\n%c\r\n" % byte)
                writer.write(b"0\r\n\r\n")
            elif asked.pieces == "bytes":
                for byte in asked.body:
                    writer.write(b"%c" % byte)
                    await writer.drain()
                    await asyncio.sleep(0)
            else:
                writer.write(asked.body)
            status, headers, body = await answer
        finally:
            answer.cancel()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return status, headers, body

    def close(self):
        """The next request takes another."""
        if self._held is not None:
            self._held[1].close()
            self._held = None
