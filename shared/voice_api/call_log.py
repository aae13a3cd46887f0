"""8x8's log export: a CSV with a row for each leg of a call, read by column name while it comes in. Pure."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.voice_api import fields
from shared.voice_api.events import Leg, normalise_status

_MAX_RECORD: Final = 256 * 1024  # characters; an open quote would else take in the whole file
_MAX_ROWS: Final = 100_000  # that concern us; more than any window holds

#: Without one of these nothing is decided: what a row means would be a guess.
REQUIRED: Final = (
    "SessionId",
    "Direction",
    "SourceEndpoint",
    "DestinationEndpoint",
    "InitiatedAt",
    "ConnectedAt",
    "DisconnectedAt",
    "DurationInSec",
    "SessionStatus",
)

#: How a call session may end, in 8x8's words. Whatever else stands there counts once the call is disconnected.
_ENDINGS: Final = frozenset(
    {
        "COMPLETED",
        "NO_ANSWER",
        "BUSY",
        "CANCELED",
        "FAILED",
        "ERROR",
        "COMPLETED_UNSUBSCRIBED",
        "COMPLETED_UNSUB_ERROR",
        "UNSUBSCRIBED_CONTACT",
    }
)


class UnreadableLog(Exception):
    """The file is not a log as documented, or was cut: nothing may be concluded from any of it. Quotes no cell."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One leg of a call session as the log has it."""

    session_id: str
    subaccount_id: str | None
    raw_status: str | None
    leg: Leg


#: Whether the session of that id, or a call to that E.164 number, concerns us.
Wanted = Callable[[str, str], bool]


class LogReader:
    """
    Takes a file in pieces of any size and keeps the rows that are wanted.

    ``vague`` counts outbound rows without a readable session, number or time: while there is one, no call can be
    called absent. ``first`` and ``last`` tell when the earliest and the latest call began.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.rows: list[LogRow] = []
        self.vague = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._wanted = wanted
        self._names: list[str] | None = None
        self._begin()

    def _begin(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._held = ""

    def feed(self, chunk: bytes) -> None:
        """
        Read on.

        Raises:
            UnreadableLog: At the first thing that is wrong.
        """
        self._take(self._decoder.decode(chunk), is_last=False)

    def end_file(self) -> None:
        """
        The file is over; the next one begins with its own header.

        Raises:
            UnreadableLog: It ended within a row, or before its header.
        """
        self._take(self._decoder.decode(b"", final=True), is_last=True)
        if self._names is None:
            raise UnreadableLog("it has no header")
        self._names = None
        self._begin()

    def _take(self, text: str, *, is_last: bool) -> None:
        *lines, rest = (self._held + text).split("\n")
        record = ""
        for line in lines:
            record += line + "\n"
            if record.count('"') % 2 == 0:  # else the line break belongs to a cell
                self._record(record)
                record = ""
        self._held = record + rest
        if len(self._held) > _MAX_RECORD:
            raise UnreadableLog("a row has no end")
        if is_last and self._held:
            self._record(self._held)

    def _record(self, record: str) -> None:
        try:
            # A carriage return alone is no end of a row here; unquoted, the reader would refuse it.
            cells = next(csv.reader([record.rstrip("\r\n").replace("\r", " ")], strict=True), [])
        except csv.Error:
            raise UnreadableLog("it is no CSV") from None
        if not cells:
            return
        if self._names is None:
            self._names = _names(cells)
        elif len(cells) == len(self._names):
            self._row(dict(zip(self._names, cells, strict=True)))
        else:
            raise UnreadableLog("a row has not as many cells as the header")

    def _row(self, row: Mapping[str, str]) -> None:
        if fields.upper(row["direction"]) == "INBOUND":
            return
        session_id, destination = fields.identifier(row["sessionid"]), fields.phone(row["destinationendpoint"])
        began_at = fields.moment(row["initiatedat"])
        if session_id is None or destination is None or began_at is None:
            self.vague += 1
        if began_at is not None:
            self.first = began_at if self.first is None else min(self.first, began_at)
            self.last = began_at if self.last is None else max(self.last, began_at)
        if session_id is None or not self._wanted(session_id, destination or ""):
            return
        if len(self.rows) == _MAX_ROWS:
            raise UnreadableLog("it has too many rows that concern us")
        self.rows.append(
            LogRow(session_id, fields.identifier(row.get("subaccountid")), fields.word(row["sessionstatus"]), _leg(row))
        )


def _names(cells: Sequence[str]) -> list[str]:
    """The header in one spelling; the first of two columns of one name counts."""
    names = ["".join(cell.lower().replace("_", " ").split()) for cell in cells]
    if missing := [name for name in REQUIRED if name.lower() not in names]:
        raise UnreadableLog(f"it lacks the columns {', '.join(missing)}")
    return [name if names.index(name) == place else f"{name} {place}" for place, name in enumerate(names)]


def _leg(row: Mapping[str, str]) -> Leg:
    return Leg(
        call_id=fields.identifier(row.get("callid")),
        direction=fields.upper(row["direction"]),
        initiated_at=fields.moment(row["initiatedat"]),
        connected_at=fields.moment(row["connectedat"]),
        disconnected_at=fields.moment(row["disconnectedat"]),
        source=fields.phone(row["sourceendpoint"]),
        destination=fields.phone(row["destinationendpoint"]),
        source_country=fields.country(row.get("sourcecountry")),
        destination_country=fields.country(row.get("destinationcountry")),
        call_status=normalise_status(row.get("callstatus") or "") or "UNKNOWN",
        raw_status=fields.word(row.get("callstatus")),
        duration_s=fields.count(row["durationinsec"]),
        mos=fields.number(row.get("mos")),
        packet_loss_rate=None,
        jitter_ms=None,
    )


@dataclass(frozen=True, slots=True)
class LoggedSession:
    """One call session: all its rows."""

    session_id: str
    rows: tuple[LogRow, ...]

    @property
    def raw_status(self) -> str | None:
        """How it ended, as spelled."""
        return next((row.raw_status for row in self.rows if row.raw_status), None)

    @property
    def subaccount_id(self) -> str | None:
        """Whose call it was."""
        return next((row.subaccount_id for row in self.rows if row.subaccount_id), None)

    @property
    def source(self) -> str | None:
        """The number that called, E.164."""
        return next((row.leg.source for row in self.rows if row.leg.source), None)

    @property
    def began_at(self) -> datetime | None:
        """When its first leg was dialled."""
        return min((row.leg.initiated_at for row in self.rows if row.leg.initiated_at), default=None)

    @property
    def ended_at(self) -> datetime | None:
        """When its last leg was disconnected."""
        return max((row.leg.disconnected_at for row in self.rows if row.leg.disconnected_at), default=None)

    @property
    def is_over(self) -> bool:
        """Whether the log tells how it ended: it may list calls that are still up."""
        status = normalise_status(self.raw_status or "")
        return status in _ENDINGS or bool(status and self.ended_at)

    def as_summary(self, client_request_id: str | None) -> bytes:
        """The session as a session summary would have told it, with the attempt that it was matched to."""
        payload: dict[str, Any] = {
            "sessionId": self.session_id,
            "subAccountId": self.subaccount_id,
            "sessionStatus": self.raw_status,
            "startTime": _time(self.began_at),
            "endTime": _time(self.ended_at),
            "clientRequestId": client_request_id,
            "details": {name: _leg_told(row.leg) for name, row in zip(_leg_names(), self.rows, strict=False)},
        }
        told = {"namespace": "VOICE", "eventType": "SESSION_SUMMARY", "description": "Read in the log export"}
        return json.dumps({"payload": payload, **told}).encode()


def sessions_of(rows: Sequence[LogRow]) -> list[LoggedSession]:
    """The rows by session, in the order of the log."""
    found: dict[str, list[LogRow]] = {}
    for row in rows:
        found.setdefault(row.session_id, []).append(row)
    return [LoggedSession(session_id, tuple(legs)) for session_id, legs in found.items()]


def _leg_names() -> Iterator[str]:
    return (f"call{chr(ord('A') + place)}" for place in range(26))


def _leg_told(leg: Leg) -> dict[str, Any]:
    return {
        "callId": leg.call_id,
        "callDirection": leg.direction,
        "initiatedTimestamp": _time(leg.initiated_at),
        "connectedTimestamp": _time(leg.connected_at),
        "disconnectedTimestamp": _time(leg.disconnected_at),
        "source": leg.source,
        "destination": leg.destination,
        "sourceCountryCode": leg.source_country,
        "destinationCountryCode": leg.destination_country,
        "callStatus": leg.raw_status,
        "callDuration": leg.duration_s,
        "callQuality": {"mos": leg.mos},
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
