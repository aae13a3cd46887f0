"""What the routes answer and what callbacks say, as models: for the document, and for nothing on a request's way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ingress.openapi.stories import Quality
from ingress.openapi.told import EndpointId, KeyId, Links, Masked, MessageId, Page, Problem, Told, Type
from shared.lifecycle import Mode, Status
from shared.reasons import Party


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


class LastAttempt(Told):
    """What the last POST came to."""

    at: Annotated[datetime, Field(description="Of successes in a row to about a minute.")]
    delivered: bool
    error: str | None


class Endpoint(Told):
    """Where callbacks go, and how it fares; counts end at 5000."""

    id: EndpointId
    url: str
    events: list[str]
    created_at: datetime
    state: Literal["healthy", "failing", "disabled", "deleted"]
    failing_since: Annotated[datetime | None, Field(description="Nothing was delivered since.")]
    noticed_at: Annotated[datetime | None, Field(description="When it was last announced that it will be disabled.")]
    disables_at: Annotated[datetime | None, Field(description="The first failure then or later disables it.")]
    disabled_at: datetime | None
    disabled_reason: str | None
    deleted_at: datetime | None
    old_secret_until: datetime | None
    last_attempt: LastAttempt | None
    undelivered: Annotated[int, Field(description="Callbacks that are due or being sent.")]
    oldest_undelivered_at: datetime | None
    next_try_at: datetime | None
    parked: Annotated[int, Field(description="Callbacks that were given up, until you recover them.")]


class NewEndpoint(Endpoint):
    """An endpoint that was made now; its secret is told this once."""

    secret: Annotated[str, Field(pattern="^whsec_")]


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
    sequence: Annotated[
        int, Field(ge=1, description="The event's place in your feed; an endpoint may hear of some only.")
    ]
    data: CallbackData


class Template(Told):
    """A version of a text that is kept by name."""

    name: str
    version: Annotated[int, Field(ge=1)]
    text: str
    language: str | None
    variables: Annotated[list[str], Field(description="What `variables` must have for it.")]
    takes_code: Annotated[bool, Field(description="It has a place for `code`.")]
    created_at: datetime


class TemplateStory(Template):
    """The newest version, and all."""

    versions: list[Template]


class Templates(Told):
    """The provider's templates."""

    data: list[Template]
