"""The make-call body: its members, their rules, and what they come to. Pure but for the phone number tables."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from ingress.problems import LONGEST_NAME, MOST_ERRORS, MemberError, unknown_member
from shared.lifecycle import Lane
from shared.times import parse_time

MAX_PLAYS: Final = 3
SLOWEST, FASTEST = 0.5, 2
#: What the demo advertised: accepted, clamped, and told.
_MAX_REPETITION: Final = 10
_MOST_VARIABLES: Final = 20
_LONGEST_VARIABLE: Final = 200
_VARIABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def _time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise PydanticCustomError("time", "must be an RFC 3339 time such as 2026-10-05T09:12:10Z")
    try:
        return parse_time(value)
    except ValueError as error:
        raise PydanticCustomError("time", str(error)) from None


def _pairs(value: dict[str, str]) -> dict[str, str]:
    if len(value) > 10:
        raise PydanticCustomError("metadata", "may have at most 10 pairs")
    if any(not 1 <= len(name) <= 40 or len(text) > 500 for name, text in value.items()):
        raise PydanticCustomError("metadata", "names have 1 to 40 characters, values at most 500")
    return value


def _variables(value: dict[str, str]) -> dict[str, str]:
    if len(value) > _MOST_VARIABLES or not all(_VARIABLE.fullmatch(name) for name in value) or "code" in value:
        raise PydanticCustomError(
            "variables",
            f"may have at most {_MOST_VARIABLES}, named as in the template by letters, digits and _; code is a member"
            " of its own",
        )
    if any(not 1 <= len(text) <= _LONGEST_VARIABLE or "{" in text or "}" in text for text in value.values()):
        raise PydanticCustomError("variables", f"must be texts of 1 to {_LONGEST_VARIABLE} characters without braces")
    return value


Moment = Annotated[datetime, BeforeValidator(_time)]
_MODEL: Final = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Redial(BaseModel):
    """How often to dial again, and what to do when nobody knows whether a call was made."""

    model_config = _MODEL

    maxAttempts: int | None = Field(None, ge=1, le=4)  # noqa: N815  the contract's spelling
    onUnknown: Literal["report", "redial"] = "report"  # noqa: N815


class CallRequest(BaseModel):
    """One message to be spoken to one phone, as the provider asked for it."""

    model_config = _MODEL

    messageId: Annotated[str, StringConstraints(min_length=1, max_length=128)]  # noqa: N815
    customerPhone: Annotated[str, StringConstraints(min_length=1, max_length=40)]  # noqa: N815
    message: Annotated[str, StringConstraints(min_length=1)] | None = None
    template: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}(@[1-9][0-9]{0,3})?$")] | None = None
    variables: Annotated[dict[str, str], AfterValidator(_variables)] = Field(default_factory=dict)
    repetition: int = Field(2, ge=1, le=_MAX_REPETITION)
    type: Literal["otp", "alert", "notification"] = "otp"
    ttlSeconds: int | None = Field(None, ge=15, le=86400)  # noqa: N815
    expiresAt: Moment | None = None  # noqa: N815
    code: str | None = Field(None, pattern=r"^[0-9A-Z]{3,12}$")
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    voice: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{2,64}$")] | None = None
    speed: float = Field(1, ge=SLOWEST, le=FASTEST)
    source: Annotated[str, StringConstraints(max_length=40)] | None = Field(None, alias="from")
    interruptible: bool = False
    redial: Redial = Redial.model_validate({})
    scheduledAt: Moment | None = None  # noqa: N815
    callbackUrl: Annotated[str, StringConstraints(max_length=2048)] | None = None  # noqa: N815
    metadata: Annotated[dict[str, str], AfterValidator(_pairs)] = Field(default_factory=dict)

    @property
    def lane(self) -> Lane:
        """The queue that the message waits in."""
        return Lane(self.type)

    @property
    def plays(self) -> int:
        """How often the text is spoken."""
        return min(self.repetition, MAX_PLAYS)


def _members(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


_NO_TEXT: Final = MemberError("message", "is required, or a template")
#: By path of the object they stand in.
_MEMBERS: Final = {"": _members(CallRequest), "redial": _members(Redial)}
#: pydantic's words, where a plainer one serves the reader better.
_WORDS: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "finite_number": "must be a finite number",
}
_PATTERNS: Final = {
    "template": "must be the name of a template of yours, with @ and a version or without",
    "code": "must be 3 to 12 digits or letters A to Z",
    "language": "must be a BCP 47 language tag such as en-US",
    "voice": "must be the code of an 8x8 speech profile such as en-US-BenjaminRUS",
}


def check(body: Any) -> CallRequest | list[MemberError]:
    """The request, or everything that is wrong with it, member by member, without repeating any value."""
    if not isinstance(body, dict):
        return [MemberError("", "the body must be a JSON object")]
    try:
        call = CallRequest.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True, include_input=False)
        wrong = [MemberError(_path(item["loc"]), _sentence(dict(item))) for item in found[:MOST_ERRORS]]
        lacks_text = body.get("message") is None and body.get("template") is None
        return [*wrong, _NO_TEXT][:MOST_ERRORS] if lacks_text else wrong
    if call.message is None and call.template is None:
        return [_NO_TEXT]
    if call.message is not None and (call.template is not None or call.variables):
        member = "variables" if call.template is None else "template"
        return [MemberError(member, "cannot come together with message")]
    return call


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step)[:LONGEST_NAME] for step in location)


def _sentence(item: dict[str, Any]) -> str:
    kind, location, context = item["type"], item["loc"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_member(str(location[-1]), _MEMBERS[_path(location[:-1])], of="request")
    if kind == "string_pattern_mismatch":
        return _PATTERNS[str(location[0])]
    if kind == "string_too_long":
        return f"may have at most {context['max_length']} characters"
    if kind in ("greater_than_equal", "less_than_equal"):
        return "must lie between " + _RANGES[_path(location)]
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return _WORDS.get(kind, str(item["msg"]))


_RANGES: Final = {
    "repetition": f"1 and {_MAX_REPETITION}",
    "ttlSeconds": "15 and 86400",
    "speed": f"{SLOWEST} and {FASTEST}",
    "redial.maxAttempts": "1 and 4",
}
