"""What the routes around callbacks answer, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ingress.openapi.answers import CallbackData
from ingress.openapi.told import EndpointId, MessageId, Page, Told, Type
from shared.lifecycle import CallbackState


class FeedData(CallbackData):
    """A message as callbacks tell of it; of one that was purged since, what it said of itself is null or empty."""

    message_id: str | None  # type: ignore[assignment]  # wider, on purpose
    type: Type | None  # type: ignore[assignment]  # wider, on purpose


class FeedEvent(Told):
    """One event, as it is posted to your endpoints."""

    type: str
    timestamp: datetime
    sequence: Annotated[
        int,
        Field(
            ge=1, description="Counts your events without gaps; it leaps once if the service is restored from a backup."
        ),
    ]
    data: FeedData


class Feed(Told):
    """Events in the order of their sequence."""

    data: list[FeedEvent]
    next: Annotated[int, Field(ge=0, description="`after` of the next page, also where there is nothing new yet.")]
    has_more: bool
    first: Annotated[int, Field(ge=1, description="The first event that is there: those before it are gone.")]


class Try(Told):
    """One POST to the endpoint."""

    number: int
    at: datetime
    elapsed_ms: int | None
    http_status: int | None
    error: str | None
    reply: Annotated[str | None, Field(description="The beginning of a refusal, as text.")]


class OfMessage(Told):
    """Which message a callback tells of."""

    id: MessageId
    message_id: str


class CallbackDelivery(Told):
    """One callback with every try to deliver it."""

    id: str
    endpoint_id: EndpointId
    event_id: Annotated[str, Field(description="The webhook-id.")]
    sequence: int
    type: str
    occurred_at: datetime
    message: OfMessage
    state: CallbackState
    attempts: int
    next_at: datetime | None
    finished_at: datetime | None
    deliveries: list[Try]


class DeliveryPage(Page):
    """Callbacks, newest first; a page may come short, or empty, before the end."""

    data: list[CallbackDelivery]


class Recovered(Told):
    """How many callbacks are due again, or would be."""

    count: int
    has_more: Annotated[bool, Field(description="There may be more: ask again.")]
    dry_run: bool


class Trial(Told):
    """What the receiver made of a made-up event."""

    delivered: bool
    webhook_id: str
    http_status: int | None
    error: str | None
    elapsed_ms: int
    reply: Annotated[str | None, Field(description="The beginning of the answer, as text.")]
