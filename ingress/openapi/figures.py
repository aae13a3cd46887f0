"""What is told of many messages at once, and what Okta is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ingress.openapi.told import Told


class Percentiles(Told):
    """Of seconds, since the request or, where that is later, the time that it asked for."""

    p50: float | None
    p95: float | None


class Conversions(Told):
    """What was told of codes by `outcome`."""

    verified: Annotated[int, Field(ge=0)]
    not_verified: Annotated[int, Field(ge=0)]
    conversion_rate: float | None


class Figures(Told):
    """Of some messages."""

    messages: Annotated[int, Field(ge=0)]
    statuses: Annotated[dict[str, int], Field(description="How many stand where; without those where none does.")]
    deadline_hit_rate: Annotated[
        float | None,
        Field(description="Of those that ended, but for canceled and blocked ones, the share called in time."),
    ]
    seconds_to_dial: Percentiles
    seconds_to_answer: Percentiles
    outcomes: Conversions


class Stats(Told):
    """Figures of the messages that came in during a span of time."""

    since: datetime
    until: datetime
    counted_since: Annotated[datetime | None, Field(description="Where there were too many: only the newest count.")]
    total: Figures
    by_type: dict[str, Figures]
    by_country: dict[str, Figures]


class OktaAction(Told):
    """What became of Okta's request."""

    status: Literal["PENDING", "FAILED"]
    provider: str
    transaction_id: Annotated[str, Field(description="Our id of the message, or of the request.")]
    transaction_metadata: str | None


class OktaCommand(Told):
    """The one command that the hook knows."""

    type: Literal["com.okta.telephony.action"]
    value: list[OktaAction]


class OktaAnswer(Told):
    """The message is stored and will be called."""

    commands: list[OktaCommand]


class OktaCause(Told):
    """One reason; the location is Okta's member."""

    error_summary: str
    reason: str
    location: str


class OktaError(Told):
    """As Okta logs it."""

    error_summary: str
    error_causes: list[OktaCause]


class OktaRefusal(OktaAnswer):
    """Nothing was stored: Okta's own provider takes over."""

    error: OktaError
