"""``python -m deploy.bench.load.echo``: the whole chain in memory, with nothing stored: what the generator can show."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Final

import uvloop

from deploy.bench.load.wire import Exchange, Lines, Listener, post, response
from shared import lifeline

_SESSION: Final = re.compile(rb'"sessionId":"([^"]+)"')
_ACCEPTED: Final = response(200, b'{"success":true}')
_NOTED: Final = response(200, b'{"status":"ok"}')
_CONNECTIONS: Final = 512


class Echo:
    """Takes a message, dials it, takes the summary, calls back."""

    def __init__(self, voice_url: str, callback_url: str) -> None:
        self._urls = voice_url, callback_url
        self._dialling = Lines(voice_url, _CONNECTIONS)
        self._calling_back = Lines(callback_url, _CONNECTIONS)
        self._messages: dict[bytes, str] = {}

    def handle(self, listener: Listener, url: bytes, body: bytes) -> None:
        """One request from either side."""
        if url.endswith(b"/vss"):
            listener.reply(_NOTED)
            found = _SESSION.search(body)
            message_id = self._messages.pop(found[1], "") if found else ""
            told = json.dumps({"messageId": message_id, "status": "delivered"}).encode()
            self._calling_back.put(Exchange(post(self._urls[1], told, {}), lambda _: None))
            return
        listener.reply(_ACCEPTED)
        asked = json.loads(body)
        say = {"action": "say", "params": {"text": asked["message"], "repetition": 2}}
        dial = {"action": "makeCall", "params": {"source": "+6531580001", "destination": asked["customerPhone"]}}
        callflow = json.dumps({"callflow": [dial, say, {"action": "hangup"}]}).encode()

        def dialled(exchange: Exchange) -> None:
            found = _SESSION.search(exchange.answer)
            if found:
                self._messages[found[1]] = asked["messageId"]

        self._dialling.put(Exchange(post(self._urls[0], callflow, {}), dialled))


async def _serve(voice_url: str, callback_url: str) -> None:
    echo = Echo(voice_url, callback_url)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Listener(echo.handle), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    lifeline.watch_parent()
    uvloop.run(_serve(sys.argv[1], sys.argv[2]))
