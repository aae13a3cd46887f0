"""What answers and callbacks have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ingress.problems import CODES, LONGEST_PATH, MOST_ERRORS
from shared.lifecycle import Status

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
    retry_after_seconds: Annotated[
        int, Field(ge=1, description="As Retry-After says; also of one call of a batch.")
    ] = 1
    message_status: Annotated[Status, Field(description="Of `not_cancelable`: where the message stands.")] = (
        Status.QUEUED
    )


class Links(Told):
    """Where to ask again."""

    self: str


class Page(Told):
    """What pages have in common."""

    next: Annotated[str | None, Field(description="`after` of the next page; null on the last.")]
    has_more: bool
