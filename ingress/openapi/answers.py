"""What the routes answer and what callbacks say, as models: for the document, and for nothing on a request's way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ingress.problems import CODES, LONGEST_PATH, MOST_ERRORS
from shared.lifecycle import CallbackState, Mode, Status
from shared.reasons import Party

MessageId = Annotated[str, Field(pattern="^msg_[0-9A-V]{26}$")]
KeyId = Annotated[str, Field(pattern="^key_[0-9A-V]{26}$")]
EndpointId = Annotated[str, Field(pattern="^ep_[0-9A-V]{26}$")]
RequestId = Annotated[str, Field(pattern="^req_[0-9a-f]+$")]
Masked = Annotated[str, Field(description="Beginning and last four digits of the number.", examples=["+65****4567"])]
Type = Literal["otp", "alert", "notification"]


class Told(BaseModel):
    """Members are written in camelCase; one without a default is always there."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class MemberFault(Told):
    """What is wrong with one member; its value is not repeated."""

    member: Annotated[str, Field(max_length=LONGEST_PATH, description="Its path; empty: the whole body.")]
    message: str


class Problem(Told):
    """An error (RFC 9457). Nothing was stored, unless `details` says otherwise."""

    success: Literal[False]
    error: Annotated[str, Field(description="The title again, for the demo's clients.")]
    details: Annotated[str, Field(min_length=1, description="A sentence for the engineer who reads it.")]
    type: str
    title: str
    status: int
    code: Annotated[str, Field(json_schema_extra={"enum": [*CODES]})]
    errors: Annotated[list[MemberFault], Field(max_length=MOST_ERRORS)]
    request_id: Annotated[RequestId, Field(description="Name it when you ask us.")]


class Links(Told):
    """Where to ask again."""

    self: str


class Accepted(Told):
    """A message that is stored, and where it stands."""

    id: MessageId
    message_id: str
    status: Status
    reason: str | None
    session_id: Annotated[str | None, Field(description="8x8's id of the call, once there is one.")]
    session_status: Literal["CREATED", "PENDING", "NOT_CREATED"]
    expires_at: datetime
    estimated_dial_at: Annotated[datetime | None, Field(description="Null when nobody can tell.")]
    will_meet_deadline: bool | None
    warnings: list[str]
    links: Links
    mode: Annotated[Literal["test"], Field(description="Of a test key's message only.")] = "test"


class MakeCallAnswer(Told):
    """The message was stored now or before."""

    success: Literal[True]
    data: Accepted


class RefusedCall(Told):
    """One call of a batch that was not stored."""

    message_id: str | None
    error: Problem


class MakeCallsAnswer(Told):
    """One outcome a call, in the order of the calls."""

    success: Literal[True]
    data: list[Accepted | RefusedCall]
    accepted: Annotated[int, Field(ge=0)]
    rejected: Annotated[int, Field(ge=0)]


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

    attempts: list[Attempt]
    events: list[Happening]
    callbacks: list[CallbackStory]


class Page(Told):
    """What pages have in common."""

    next: Annotated[str | None, Field(description="`after` of the next page; null on the last.")]
    has_more: bool


class MessagePage(Page):
    """Messages, newest first."""

    data: list[ListedMessage]


class Outcome(Told):
    """What was told of the code."""

    id: MessageId
    message_id: str
    verified: bool
    reported_at: datetime


class Suppression(Told):
    """A number that is not to be called."""

    to: Masked
    reason: str
    created_at: datetime


class SuppressionPage(Page):
    """Numbers that are not to be called."""

    data: list[Suppression]


class Key(Told):
    """A key, without its secret."""

    id: KeyId
    mode: Mode
    name: str | None
    state: Literal["active", "expired", "revoked", "disabled"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    current: Annotated[bool, Field(description="It is the one that asks.")]


class NewKey(Key):
    """A key that was made now; its secret is told this once."""

    secret: str


class Keys(Told):
    """Every key of the provider that the asking one may see."""

    data: list[Key]


class Endpoint(Told):
    """Where callbacks go."""

    id: EndpointId
    url: str
    events: list[str]
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    old_secret_until: datetime | None


class Endpoints(Told):
    """The provider's endpoints."""

    data: list[Endpoint]


class RotatedSecret(Told):
    """A new secret, told this once; callbacks are signed with both until the old one ends."""

    id: EndpointId
    url: str
    secret: Annotated[str, Field(pattern="^whsec_")]
    old_secret_until: datetime | None


class Health(Told):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Told):
    """Whether messages can be taken; Redis is not needed for that."""

    status: Literal["ok", "unavailable"]
    database: Literal["ok", "away", "migrations pending"]
    redis: Literal["ok", "away"]


class HangUp(Told):
    """The one action that a call action is answered with."""

    action: Literal["hangup"]


class HangUpReply(Told):
    """The reply that 8x8's call actions get, whatever they said."""

    client_action_id: str
    callflow: Annotated[list[HangUp], Field(min_length=1, max_length=1)]


class CallbackData(Told):
    """A message as callbacks tell of it; every member is there, null where nothing is known."""

    id: MessageId
    message_id: str
    type: Type
    status: Status
    reason: str | None
    retryable: bool
    party: Party | None
    to: Masked
    attempts: int
    session_id: str | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    heard: str | None
    key_pressed: str | None
    quality: Quality
    metadata: dict[str, str]
    mode: Literal["test"] = "test"


class Callback(Told):
    """One event of a message, as it is posted to your endpoint."""

    type: str
    timestamp: datetime
    sequence: Annotated[int, Field(ge=1, description="Counts your events without gaps.")]
    data: CallbackData
