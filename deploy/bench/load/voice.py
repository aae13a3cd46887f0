"""8x8's side of the load: takes callflows, and reports each call's end some time later."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from deploy.bench.load.ledger import Ledger, Ledgers
from deploy.bench.load.wire import Exchange, Lines, Listener, post, response

_DESTINATION: Final = re.compile(rb'"destination":\s?"\+?(\d+)"')
_REQUEST_ID: Final = re.compile(rb'"clientRequestId":\s?"([^"]+)"')
_OK: Final = range(200, 300)
_CAPACITY_S: Final = 0.05  # a call that finds every line taken ends so soon
_REPEAT_S: Final = 1.0
_REPEATS: Final = 10
_VOICES: Final = response(200, b'{"speechProfiles":[{"speechProfileCode":"en-US-BenjaminRUS","localeCode":"en-US"}]}')
_NOT_THERE: Final = response(404, b'{"statusCode":-404,"statusMessage":"not here"}')

_CREATED: Final = (
    b'{"sessionId":"%b","sessionStatus":"CREATED","callFlowRequestId":"flow-%b","statusCode":1,'
    b'"statusMessage":"Created"}'
)
_SUMMARY: Final = (
    b'{"payload":{"sessionId":"%b","subAccountId":"%b","sessionStatus":"%b","startTime":"%b","endTime":"%b",'
    b'"lastAction":"SAY","callCount":1,"clientRequestId":"%b",%b"details":{"callA":{"callId":"leg-%b",'
    b'"callDirection":"OUTBOUND","callType":"PSTN","initiatedTimestamp":"%b",%b"disconnectedTimestamp":"%b",'
    b'"source":"+6531580001","destination":"+%d","sourceFormat":"MSISDN","destinationFormat":"MSISDN",'
    b'"sourceCountryCode":"SG","destinationCountryCode":"SG","sourceRefId":"vn-1","callStatus":"%b",'
    b'"callDuration":%d}}},"namespace":"VOICE","eventType":"SESSION_SUMMARY",'
    b'"description":"Summary of a completed call session"}'
)
_NO_LINE: Final = b'"errorDetails":{"errorMsg":"trunk capacity exceeded","errorCode":-2010},'
_QUALITY: Final = b'"callQuality":{"mos":4.2,"packetLossRate":0.001,"jitter":18},'
_CALL_DURATION: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How 8x8 behaves, and where it sends its summaries."""

    vss_url: str = ""
    token: str = ""
    latency_s: float = 0.0  # from a callflow to its answer
    call_s: float = 0.2  # from the answer to the call's end and its summary
    lines: int = 0  # calls that may be up at once; 0: any number
    connections: int = 32  # for summaries
    subaccount: str = "bench_voice"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that we took on."""

    ledger: Ledger
    number: int
    phone: int
    session: bytes
    request_id: bytes
    has_line: bool


class Voice:
    """Counts in ``seen`` the callflows, the calls that found no line, and the most that were up at once."""

    def __init__(self, ledgers: Ledgers) -> None:
        self._ledgers = ledgers
        self._loop = asyncio.get_running_loop()
        self._world = World()
        self._lines: Lines | None = None
        self._headers: dict[str, str] = {}
        self._up = 0
        self._serial = 0
        self.seen: Counter[str] = Counter()

    def become(self, world: World) -> None:
        """Behave like this from now on; counting starts anew."""
        if self._lines is not None:
            self._lines.close()
        self._world, self.seen, self._up = world, Counter(), 0
        self._lines = Lines(world.vss_url, world.connections) if world.vss_url else None
        self._headers = {"Authorization": world.token}

    def handle(self, listener: Listener, url: bytes, body: bytes) -> None:
        """One request to 8x8."""
        at = time.monotonic()
        found = _DESTINATION.search(body)
        if found is None or not url.endswith(b"/callflows"):
            listener.reply(_VOICES if url.endswith(b"/speech-profiles") else _NOT_THERE)
            return
        phone = int(found[1])
        self._serial += 1
        session = b"%08d-0000-4000-8000-%012d" % (self._serial, phone)
        self.seen["callflows"] += 1
        answer = response(200, _CREATED % (session, session))
        if self._world.latency_s:
            self._loop.call_later(self._world.latency_s, listener.reply, answer)
        else:
            listener.reply(answer)
        known = self._ledgers.of_phone(phone)
        if known is None:
            self.seen["strangers"] += 1
            return
        ledger, number = known
        ledger.dials[number] += 1
        ledger.note("dialled", number, at)
        if self._lines is not None:
            asked = _REQUEST_ID.search(body)
            self._begin(Call(ledger, number, phone, session, asked[1] if asked else b"none", self._take_line()))

    def _take_line(self) -> bool:
        if self._world.lines and self._up >= self._world.lines:
            self.seen["without_line"] += 1
            return False
        self._up += 1
        self.seen["most_up"] = max(self.seen["most_up"], self._up)
        return True

    def _begin(self, call: Call) -> None:
        lasts_s = self._world.call_s if call.has_line else _CAPACITY_S
        self._loop.call_later(self._world.latency_s + lasts_s, self._end, call)

    def _end(self, call: Call) -> None:
        if call.has_line:
            self._up -= 1
        if self._lines is None:
            return
        raw = post(self._world.vss_url, summary(call, self._world.subaccount.encode()), self._headers)
        repeats = _REPEATS

        def done(exchange: Exchange) -> None:
            nonlocal repeats
            self.seen[f"vss {exchange.status}"] += 1
            if exchange.status in _OK:
                call.ledger.note("acknowledged", call.number, exchange.ended_at)
            elif repeats:
                repeats -= 1
                self._loop.call_later(_REPEAT_S, send)

        def send() -> None:
            if self._lines is not None:
                self._lines.put(Exchange(raw, done))

        if call.has_line:
            call.ledger.note("reported", call.number, time.monotonic())
        send()


def summary(call: Call, subaccount: bytes) -> bytes:
    """The VSS of a call that was heard, or of one that found no line."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
    status = b"COMPLETED" if call.has_line else b"ERROR"
    return _SUMMARY % (
        call.session, subaccount, status, at, at, call.request_id, b"" if call.has_line else _NO_LINE, call.session,
        at, (b'"connectedTimestamp":"%b",' % at + _QUALITY) if call.has_line else b"", at, call.phone, status,
        _CALL_DURATION if call.has_line else 0,
    )  # fmt: skip
