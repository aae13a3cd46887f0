"""What the tables of operations are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

#: What any request may get: a bug of ours, and a body that does not come.
ALWAYS: Final = ("internal_error", "request_timeout")
KEYED: Final = (*ALWAYS, "unauthorized", "too_many_failures", "unavailable")
BODY: Final = ("invalid_json", "body_too_large", "unsupported_media_type", "overloaded")
CALLS: Final = (*KEYED, *BODY, "invalid_request")
#: What a message may be refused for, though its request is sound.
REFUSALS: Final = (
    "prefix_quarantined", "message_id_reused", "country_not_allowed", "number_not_allowed", "quiet_hours",
    "source_not_allowed", "daily_cap_reached", "number_limit", "prefix_limit", "provider_limit",
    "deadline_unreachable", "dialing_stopped",
)  # fmt: skip

PROVIDER: Final = ("basicKey", "bearerKey")
EIGHT_X_EIGHT: Final = ("webhookSecret",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    summary: str
    security: Sequence[str] = PROVIDER
    parameters: Sequence[Mapping[str, Any]] = ()
    body: type[BaseModel] | None = None
    takes_anything: bool = False
    answers: Mapping[int, Sequence[type[BaseModel]]] = field(default_factory=dict)
    #: Media types of an answer without a model.
    texts: Sequence[str] = ("application/json",)
    errors: Sequence[str] = KEYED
    example: Mapping[str, Any] | None = None
    headers: Sequence[str] = ()
