"""What the routes take, as models: of make-call its own, of the others what their readers accept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from ingress.call_request import CallRequest
from shared.http.addresses import MAX_URL
from shared.keys import LONGEST_NAME
from shared.lifecycle import EVENT_TYPES, Mode

#: What the members of make-call mean; their rules are the model's.
MEANINGS: Final[Mapping[str, str]] = {
    "messageId": "Yours, unique for ever: the same request again gets the same answer and no second call.",
    "customerPhone": "In international form, in a country that you may call.",
    "message": "The text; control characters and markup are taken out. This or template is required.",
    "template": "Instead of a message: a template of yours, such as login or, in this version for ever, login@3.",
    "variables": "Fill the template's places: texts without braces, by name.",
    "repetition": "How often it is spoken; 4 to 10 become 3, with a warning.",
    "type": "Queue, lifetime and redials: an otp lives 120 s, an alert 30 minutes, a notification 4 hours.",
    "ttlSeconds": "Speech must have begun by then; not together with expiresAt.",
    "expiresAt": "The same as a moment, 15 s to 1 day after the call may begin.",
    "code": "Spoken letter by letter where the text has {code}.",
    "language": "A BCP 47 language tag.",
    "voice": "An 8x8 speech profile; comes before language.",
    "speed": "1 is usual.",
    "from": "One of the operator's caller ids.",
    "interruptible": "Any key ends the call.",
    "redial": "How often to dial again; by type unless given.",
    "scheduledAt": "At most 7 days ahead; the lifetime counts from it.",
    "callbackUrl": "One of your endpoints; all of them unless given.",
    "metadata": "Given back in every callback.",
}
CALL_EXAMPLE: Final = {
    "messageId": "OTP789",
    "customerPhone": "+6581234567",
    "message": "Your code is {code}.",
    "code": "482915",
}


OKTA_EXAMPLE: Final = {
    "eventId": "uS5871kJThSMU8qlA1LTcg",
    "eventType": "com.okta.telephony.provider",
    "requestType": "com.okta.user.telephony.mfa-verification",
    "data": {
        "messageProfile": {
            "msgTemplate": "Your code is 482915",
            "phoneNumber": "+6581234567",
            "deliveryChannel": "Voice call",
            "otpCode": "482915",
            "locale": "en-US",
        }
    },
}


class MessageRequest(CallRequest):
    """The same, where the Idempotency-Key may stand in for messageId."""

    messageId: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None  # type: ignore[assignment]  # noqa: N815  wider, on purpose


class PreviewRequest(CallRequest):
    """The body of make-call; messageId may be left out, as nothing is stored."""

    messageId: Annotated[str, Field(min_length=1, max_length=128)] = "preview"  # noqa: N815  the contract's spelling


class Asked(BaseModel):
    """Members are written in camelCase, and no others are taken."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


def _any_call(schema: dict[str, Any]) -> None:
    schema["items"] = {"anyOf": [{"$ref": f"#/components/schemas/{CallRequest.__name__}"}, {}]}


class MakeCalls(Asked):
    """Calls by the dozen. One that breaks its rules is refused by itself and spoils no other."""

    calls: Annotated[list[Any], Field(min_length=1, max_length=1000, json_schema_extra=_any_call)]


class OutcomeReport(Asked):
    """Whether the code was used."""

    verified: bool


class NumberToSuppress(Asked):
    """A number that is not to be called from now on."""

    number: Annotated[str, Field(description="In international form.", examples=["+6581230009"])]
    reason: Annotated[str | None, Field(min_length=1, max_length=200, description="Without digits.")] = None


class NumberToFree(Asked):
    """A number that may be called again."""

    number: Annotated[str, Field(description="In international form.", examples=["+6581230009"])]


class TemplateText(Asked):
    """A text with places in braces for variables, and one for {code}."""

    text: Annotated[str, Field(min_length=1, description="As long as a message may be.")]
    language: Annotated[str | None, Field(description="Where the message names none.")] = None


class KeyTerms(Asked):
    """What the new key is to be."""

    mode: Annotated[Mode | None, Field(description="That of the asking key unless given.")] = None
    name: Annotated[str | None, Field(min_length=1, max_length=LONGEST_NAME)] = None
    expires_at: Annotated[datetime | None, Field(description="In the future; never unless given.")] = None


#: An endpoint hears of final statuses and corrections unless it asks for something else.
Events = Annotated[list[Annotated[str, Field(json_schema_extra={"enum": [*EVENT_TYPES]})]] | None, Field(min_length=1)]


class EndpointTerms(Asked):
    """Where callbacks are to go, and which."""

    url: Annotated[str, Field(max_length=MAX_URL, description="A public https address.")]
    events: Events = None


class EndpointChange(Asked):
    """What is to be different; at least one of both."""

    url: Annotated[str | None, Field(max_length=MAX_URL)] = None
    events: Events = None


class RecoverTerms(Asked):
    """Which parked callbacks: by when their events happened, from *since* on and before *until*."""

    since: datetime
    until: Annotated[datetime | None, Field(description="Now unless given.")] = None
    dry_run: Annotated[bool | None, Field(description="Only count.")] = None


class OktaProfile(BaseModel):
    """What Okta wants to have told, to whom, and until when it is of use."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    phone_number: str
    otp_code: str
    msg_template: str | None = None
    otp_expires: Annotated[datetime | None, Field(description="The call's deadline.")] = None
    delivery_channel: Annotated[str, Field(description="`Voice call`; anything else is refused.")] = "Voice call"
    locale: Annotated[str | None, Field(description="Chooses the voice.")] = None


class OktaData(BaseModel):
    """Of which Ringpost reads one part."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    message_profile: OktaProfile


class OktaRequest(BaseModel):
    """As Okta's telephony inline hook sends it; what is not named here is not read."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    event_id: Annotated[str, Field(min_length=1, max_length=123, description="The same again is the same message.")]
    data: OktaData
