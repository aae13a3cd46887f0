"""What a call would say, and what a provider may send, as models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ingress.openapi.told import Masked, Told
from shared.lifecycle import Mode

Many = Annotated[int, Field(ge=1)]
Clock = Annotated[str, Field(pattern="^[0-2][0-9]:[0-5][0-9]$", examples=["22:00"])]


class Preview(Told):
    """What would be spoken; estimates are upper ones."""

    text: Annotated[str, Field(description="As a voice gets it: cleaned, the code spelled.")]
    language: Annotated[str | None, Field(description="Of the voice, BCP 47; null where its code does not tell.")]
    voice: str
    plays: Annotated[int, Field(ge=1, le=3)]
    speed: float
    seconds_per_play: Annotated[float, Field(gt=0)]
    total_seconds: Annotated[float, Field(gt=0)]
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    to: Masked
    warnings: Annotated[
        list[str], Field(description="Of the call, and of what looks like a code and is not sent as one.")
    ]


class DialRate(Told):
    """How fast calls are placed at best."""

    limit: Annotated[float, Field(gt=0)]
    is_shared: Annotated[bool, Field(description="By all providers, in fair shares.")]


class DailyCalls(Told):
    """Calls of the day (UTC), redials included."""

    limit: Annotated[int | None, Field(description="Null: any number.")]
    used: Annotated[int, Field(ge=0)]
    remaining: int | None
    resets_at: datetime


class NumberLimit(Told):
    """Messages to one number."""

    limit: Many
    per_seconds: Many


class QuietHours(Told):
    """When notifications wait, by the clock of who is called."""

    begin: Clock
    end: Clock
    alerts_too: bool


class Lifetimes(Told):
    """By type, in seconds."""

    otp: Many
    alert: Many
    notification: Many


class Ttl(Told):
    """How long a message may wait for its call, in seconds."""

    min: Many
    max: Many
    default: Lifetimes


class MessageCharacters(Told):
    """Code points of a message as it is sent, and once its code is spelled."""

    max: Many
    max_spoken: Many


class Plays(Told):
    """How often a text is spoken."""

    min: Many
    max: Many
    default: Many


class Speed(Told):
    """How fast a text is spoken; 1 is usual."""

    min: float
    max: float
    default: float


class BodyBytes(Told):
    """The longest bodies."""

    call: Many
    batch: Many


class Limits(Told):
    """What you may send. Null: any number. A test key's messages count against nothing."""

    mode: Mode
    dials_per_second: DialRate | None
    daily_calls: DailyCalls | None
    per_number: list[NumberLimit]
    per_minute: Annotated[int | None, Field(description="Messages in a minute.")]
    per_prefix_and_hour: Annotated[
        int | None, Field(description="Messages in an hour to numbers that differ in their last four digits only.")
    ]
    quiet_hours: QuietHours | None
    countries: Annotated[list[str], Field(description="ISO alpha-2 that you may call; `*`: any.")]
    from_: Annotated[list[str], Field(alias="from", description="Caller ids; the first is used unless one is named.")]
    ttl_seconds: Ttl
    scheduled_ahead_seconds: Many
    message_characters: MessageCharacters
    repetition: Plays
    speed: Speed
    body_bytes: BodyBytes
    calls_per_batch: Many
