"""A message as its provider reads it: in lists, and with all that happened on its way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ingress.openapi.told import Links, Masked, MessageId, Page, Told, Type
from shared.lifecycle import CallbackState, Mode, Status
from shared.reasons import Party


class ListedMessage(Told):
    """A message as lists show it; never its text or number."""

    id: MessageId
    message_id: str
    type: Type
    mode: Mode
    status: Status
    reason: str | None
    retryable: bool
    party: Party | None
    to: Masked
    country: str
    from_: Annotated[str, Field(alias="from")]
    voice: str
    speed: float
    repetition: int
    interruptible: bool
    session_id: str | None
    created_at: datetime
    scheduled_at: datetime | None
    expires_at: datetime
    finished_at: datetime | None
    metadata: dict[str, str]
    warnings: list[str]
    links: Links


class LegQuality(Told):
    """As 8x8 measured it."""

    mos: float | None
    packet_loss_rate: float | None
    jitter_ms: float | None


class Leg(Told):
    """One phone connection of a call."""

    leg: int
    call_status: str | None
    initiated_at: datetime | None
    connected_at: datetime | None
    disconnected_at: datetime | None
    duration_seconds: int | None
    source_country: str | None
    destination_country: str | None
    quality: LegQuality


class Attempt(Told):
    """One time that 8x8 was asked for the call."""

    id: str
    number: int
    started_at: datetime
    outcome: Annotated[str | None, Field(description="What the answer came to; null while it is under way.")]
    reason: str | None
    status_code: int | None
    session_id: str | None
    session_status: str | None
    error_code: int | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    heard: str | None
    key_pressed: str | None
    legs: list[Leg]


class Quality(Told):
    """How the call sounded."""

    mos: Annotated[float | None, Field(description="Mean opinion score, 1 to 5.")]


class Happening(Told):
    """One event of a message; what a kind of event does not tell is left out."""

    type: str
    at: datetime
    status: Status
    id: str = ""
    sequence: int = 0
    reason: str | None = None
    attempts: int = 0
    session_id: str | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: int | None = None
    heard: str | None = None
    key_pressed: str | None = None
    quality: Quality | None = None


class Delivery(Told):
    """One POST to the endpoint."""

    number: int
    at: datetime
    elapsed_ms: int | None
    http_status: int | None
    error: str | None


class CallbackStory(Told):
    """One callback, and how often it was tried."""

    id: str
    event_id: str
    type: str
    url: str
    state: CallbackState
    attempts: int
    next_at: datetime | None
    finished_at: datetime | None
    deliveries: list[Delivery]


class Message(ListedMessage):
    """A message with its whole story."""

    next_dial_at: Annotated[datetime | None, Field(description="While it waits: not before then.")]
    attempts: list[Attempt]
    events: list[Happening]
    callbacks: list[CallbackStory]


class CallbackStates(Told):
    """How many callbacks stand where."""

    due: int
    sending: int
    done: int
    parked: int


class Facts(Told):
    """What the sentence is about, for programs."""

    reason: str | None
    retryable: bool
    attempts: int
    created_at: datetime
    expires_at: datetime
    next_dial_at: datetime | None
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    seconds_to_dial: float | None
    seconds_to_answer: float | None
    in_time: bool | None
    duration_seconds: int | None
    heard: str | None
    key_pressed: str | None
    session_id: str | None
    session_status: str | None
    error_code: int | None
    money_likely_spent: Annotated[bool, Field(description="A phone was answered.")]
    callbacks: CallbackStates
    next_callback_at: datetime | None


class Explanation(Told):
    """A message in words."""

    id: MessageId
    message_id: str
    status: Status
    sentence: str
    happened: str
    party: Party | None
    next: str
    facts: Facts


class MessagePage(Page):
    """Messages, newest first."""

    data: list[ListedMessage]
