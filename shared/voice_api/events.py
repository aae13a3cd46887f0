"""What 8x8's webhooks say, read so tolerantly that no body can break us."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from shared.voice_api import fields

MAX_ERROR_MESSAGE: Final = 300  # characters
_CALL_ACTION: Final = "CALL_ACTION"
_SORTED: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Leg:
    """
    One phone connection of a call session. Whatever 8x8 left out or misspelt is None.

    ``duration_s`` is connected time in whole seconds as 8x8 counts it, often one less than the times say.
    """

    call_id: str | None
    direction: str | None
    initiated_at: datetime | None
    connected_at: datetime | None
    disconnected_at: datetime | None
    source: str | None = field(repr=False)
    destination: str | None = field(repr=False)
    source_country: str | None
    destination_country: str | None
    call_status: str
    raw_status: str | None
    duration_s: int | None
    mos: float | None
    packet_loss_rate: float | None
    jitter_ms: float | None


@dataclass(frozen=True, slots=True)
class CallAction:
    """A VCA event: 8x8 asks what to do next with a call that is up. Our answer is always to hang up."""

    event_id: str | None
    session_id: str
    call_id: str | None
    subaccount_id: str | None
    call_status: str
    direction: str | None
    source: str | None = field(repr=False)
    destination: str | None = field(repr=False)
    dtmf: str | None
    client_action_id: str | None
    at: datetime | None

    @property
    def is_inbound(self) -> bool:
        """Somebody calls the caller id back: no message of ours is concerned."""
        return self.direction == "INBOUND"


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A VSS event: how a call session ended. The only word of 8x8 that settles a message."""

    session_id: str
    subaccount_id: str | None
    session_status: str
    raw_status: str | None
    started_at: datetime | None
    ended_at: datetime | None
    last_action: str | None
    client_request_id: str | None
    error_code: int | None
    error_message: str | None
    legs: tuple[Leg, ...]

    @property
    def connected_at(self) -> datetime | None:
        """When the phone was answered. With this set, even an ERROR was heard: never dial again."""
        return min((leg.connected_at for leg in self.legs if leg.connected_at), default=None)

    @property
    def duration_s(self) -> int | None:
        """Connected seconds of the longest leg, from its times when 8x8 did not count; None if unknowable."""
        known = [seconds for leg in self.legs if (seconds := _connected_s(leg)) is not None]
        return max(known, default=None)

    @property
    def source(self) -> str | None:
        """The number that called, E.164."""
        return next((leg.source for leg in self.legs if leg.source), None)

    @property
    def destination(self) -> str | None:
        """The number that was called, E.164."""
        return next((leg.destination for leg in self.legs if leg.destination), None)

    @property
    def is_inbound(self) -> bool:
        """Somebody called the caller id back: no message of ours is concerned."""
        return bool(self.legs) and self.legs[0].direction == "INBOUND"


@dataclass(frozen=True, slots=True)
class OtherEvent:
    """An event that settles nothing (VCS, VRU, VNU or one we never heard of); *kind* is its eventType."""

    kind: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A body that is no event. The reason names what is wrong and repeats nothing of the body."""

    reason: str


WebhookEvent = CallAction | SessionSummary | OtherEvent | Malformed


def parse(raw: bytes) -> WebhookEvent:
    """
    Read one webhook body, whatever URL it came to. Never raises.

    Keys may come in any order and any case, numbers as strings, ``"null"`` for nothing; statuses nobody
    documented are kept. All text is free of NUL and lone surrogates, so that it can be stored.
    """
    opened = _open(_load(raw))
    if isinstance(opened, OtherEvent | Malformed):
        return opened
    kind, session_id, payload = opened
    return _call_action(session_id, payload) if kind == _CALL_ACTION else _summary(session_id, payload)


@dataclass(frozen=True, slots=True)
class Glance:
    """
    What must be known of a webhook before its answer: no more is read then.

    ``dedupe_key`` names the fact that it reports: the same for every copy of it that 8x8 sends, at most 70 ASCII
    characters. VCA events carry an id. VSS events have none, so their content counts, whatever the order of its keys:
    a second, different summary of one session is a fact of its own.
    """

    dedupe_key: str
    session_id: str | None = None  # that it reports on
    action: CallAction | None = None  # a call that waits for its next callflow


def glance(raw: bytes) -> Glance:
    """Read as much of one webhook body as its answer needs. Never raises."""
    body = _load(raw)
    opened = _open(body)
    if isinstance(opened, Malformed):
        return Glance("bad:" + _digest(raw))
    if isinstance(opened, OtherEvent):
        return Glance("other:" + _digest(_canonical(body, raw)))
    kind, session_id, payload = opened
    if kind != _CALL_ACTION:
        return Glance("vss:" + _digest(_canonical(body, raw)), session_id)
    action = _call_action(session_id, payload)
    if action.event_id is None:
        return Glance("vca:" + _digest(_canonical(body, raw)), session_id, action)
    # Ids hold printable characters only, so the unit separator cannot occur inside one.
    return Glance("vca:" + _digest(f"{session_id}\x1f{action.event_id}".encode()), session_id, action)


def _open(body: Any) -> tuple[str, str, Mapping[str, Any]] | OtherEvent | Malformed:
    """Kind, session id and payload of an event that concerns a session."""
    if not isinstance(body, dict):
        return Malformed("not a JSON object")
    envelope = fields.lowered(body)
    kind = normalise_status(fields.word(envelope.get("eventtype")) or "")
    if kind not in (_CALL_ACTION, "SESSION_SUMMARY"):
        return OtherEvent(kind) if kind else Malformed("no eventType")
    payload = fields.lowered(envelope.get("payload"))
    session_id = fields.identifier(payload.get("sessionid"))
    if session_id is None:
        return Malformed("no sessionId in the payload")
    return kind, session_id, payload


def normalise_status(text: str) -> str:
    """
    Bring 8x8's spellings of a status together: ``No answer`` is NO_ANSWER, ``CANCELLED`` is CANCELED.

    Unknown statuses pass through, so that the tables built on this decide what they mean.
    """
    status = "_".join(text.upper().replace("-", " ").replace("_", " ").split())
    return "CANCELED" if status == "CANCELLED" else status


def _call_action(session_id: str, payload: Mapping[str, Any]) -> CallAction:
    return CallAction(
        event_id=fields.identifier(payload.get("eventid")),
        session_id=session_id,
        call_id=fields.identifier(payload.get("callid")),
        subaccount_id=fields.identifier(payload.get("subaccountid")),
        call_status=_status(payload.get("callstatus")),
        direction=fields.upper(payload.get("calldirection")),
        source=fields.phone(payload.get("source")),
        destination=fields.phone(payload.get("destination")),
        dtmf=_dtmf(payload.get("eventdata")),
        client_action_id=fields.identifier(payload.get("clientactionid")),
        at=fields.moment(payload.get("timestamp")),
    )


def _summary(session_id: str, payload: Mapping[str, Any]) -> SessionSummary:
    error = fields.lowered(payload.get("errordetails"))
    return SessionSummary(
        session_id=session_id,
        subaccount_id=fields.identifier(payload.get("subaccountid")),
        session_status=_status(payload.get("sessionstatus")),
        raw_status=fields.word(payload.get("sessionstatus")),
        started_at=fields.moment(payload.get("starttime")),
        ended_at=fields.moment(payload.get("endtime")),
        last_action=fields.word(payload.get("lastaction")),
        client_request_id=fields.identifier(payload.get("clientrequestid")),
        error_code=fields.whole(error.get("errorcode")),
        error_message=fields.text(error.get("errormsg"), MAX_ERROR_MESSAGE),
        legs=_legs(payload.get("details")),
    )


def _legs(details: Any) -> tuple[Leg, ...]:
    """Legs by name: callA (also CallA, calla) before callB."""
    named = fields.lowered(details)
    return tuple(
        _leg(fields.lowered(named[name]))
        for name in sorted(named)
        if name.startswith("call") and isinstance(named[name], dict)
    )


def _leg(leg: Mapping[str, Any]) -> Leg:
    quality = fields.lowered(leg.get("callquality"))
    return Leg(
        call_id=fields.identifier(leg.get("callid")),
        direction=fields.upper(leg.get("calldirection")),
        initiated_at=fields.moment(leg.get("initiatedtimestamp")),
        connected_at=fields.moment(leg.get("connectedtimestamp")),
        disconnected_at=fields.moment(leg.get("disconnectedtimestamp")),
        source=fields.phone(leg.get("source")),
        destination=fields.phone(leg.get("destination")),
        source_country=fields.country(leg.get("sourcecountrycode")),
        destination_country=fields.country(leg.get("destinationcountrycode")),
        call_status=_status(leg.get("callstatus")),
        raw_status=fields.word(leg.get("callstatus")),
        duration_s=fields.count(leg.get("callduration")),
        mos=fields.number(quality.get("mos")),
        packet_loss_rate=fields.number(quality.get("packetlossrate")),
        jitter_ms=fields.number(quality.get("jitter")),
    )


def _connected_s(leg: Leg) -> int | None:
    if leg.duration_s is not None:
        return leg.duration_s
    if leg.connected_at is None or leg.disconnected_at is None:
        return None
    return max(0, int((leg.disconnected_at - leg.connected_at).total_seconds()))


def _load(raw: bytes) -> Any:
    """JSON, or None. Besides bad JSON: undecodable bytes, digits without end, nesting without end."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _status(value: Any) -> str:
    """Never empty, so that a table can be asked about it: a missing status is UNKNOWN."""
    return normalise_status(fields.word(value) or "") or "UNKNOWN"


def _dtmf(event_data: Any) -> str | None:
    """Keys pressed: 8x8 sends ``{"dtmf": "1"}``, in older versions ``"1"``, null or nothing if none came."""
    return fields.word(fields.lowered(event_data).get("dtmf") if isinstance(event_data, dict) else event_data)


def _canonical(body: Any, raw: bytes) -> bytes:
    """The body in one spelling: keys sorted, no spaces. The raw bytes when there is no such thing."""
    try:
        return _SORTED.encode(body).encode("ascii")
    except (ValueError, RecursionError):
        return raw


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
