"""Why each error comes and what to do about it, for the catalogue; what happened, its title says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Advice(NamedTuple):
    """For the engineer who meets the error."""

    why: str
    what_to_do: str


#: By code, as in :data:`ingress.problems.CODES`.
ADVICE: Final[Mapping[str, Advice]] = {
    "invalid_json": Advice(
        "The body is not JSON in UTF-8, nests deeper than 20 levels, names a member twice, or holds NaN, a NUL or half"
        " a surrogate pair.",
        "Let a JSON library write the body; `details` names the place. Sending it again as it is changes nothing.",
    ),
    "unauthorized": Advice(
        "No key came, or one that is unknown, wrong, expired or revoked; they are answered alike.",
        "Send `keyId:secret` by Basic or Bearer. Ask the operator for a new key if the secret is lost.",
    ),
    "forbidden": Advice(
        "A test key asked for something that concerns phones that ring: live keys, callback secrets, suppressions.",
        "Use a live key for that.",
    ),
    "prefix_quarantined": Advice(
        "Numbers of this range were called like toll fraud calls: in sequence, or much more than usual with few codes"
        " used.",
        "Look who asks you for codes to such numbers. Genuine traffic: ask the operator to release the range.",
    ),
    "not_found": Advice(
        "There is no such address, or nothing of yours has this id. Other providers' things are answered alike.",
        "Compare the address with the reference, and the id with the answer that you got it from.",
    ),
    "method_not_allowed": Advice("The address exists and takes other methods.", "The header `Allow` lists them."),
    "request_timeout": Advice(
        "The body did not arrive in time.", "Send it again; with the same `messageId` it cannot ring twice."
    ),
    "not_reportable": Advice(
        "The message is not answered and not final yet, so that nobody can have used its code.",
        "Report once the callback `message.answered` or a final one came.",
    ),
    "message_id_reused": Advice(
        "An earlier request of yours had this `messageId` and another body. A `messageId` is used up for ever.",
        "Make a new `messageId` for each message; repeat a request only byte for byte alike in meaning.",
    ),
    "not_cancelable": Advice(
        "Somebody has begun to dial, or the message is over; `messageStatus` tells where it stands.",
        "Nothing: wait for its callback. A call that is under way cannot be taken back.",
    ),
    "too_many_templates": Advice(
        "There may be 200 names with 1000 versions each, and 10,000 versions in all, deleted ones included.",
        "Delete templates that no message is made of any more; put what changes often into variables.",
    ),
    "endpoint_exists": Advice(
        "One of your endpoints has this URL already.", "Change that one: `GET /v1/endpoints` lists them."
    ),
    "too_many_endpoints": Advice("There may be 10.", "Delete one that nobody listens at any more."),
    "endpoint_disabled": Advice(
        "The endpoint gets nothing: the operator disabled it, its own 410 did, it failed for too long, or you deleted"
        " it.",
        "Let your receiver answer 2xx, enable the endpoint, then send again. Of a deleted one read the feed.",
    ),
    "events_purged": Advice(
        "The events behind `after` are older than what is kept.",
        "Go on with the `after` that `details` names, and read your messages for what happened before.",
    ),
    "too_many_keys": Advice(
        "Two keys of a mode may be active, so that one can follow the other.", "Revoke one that is no longer used."
    ),
    "key_in_use": Advice(
        "A key cannot revoke itself, or nobody might be left who can.", "Revoke it with the key that follows it."
    ),
    "body_too_large": Advice("A call may have 16 KiB, a batch 2 MiB.", "Send less `metadata`, or split the batch."),
    "unsupported_media_type": Advice(
        "The body was announced as something else.", "Send `Content-Type: application/json`."
    ),
    "invalid_request": Advice(
        "Members are missing, unknown, or break their rules.",
        "`errors` names each of them and what it must be. Sending it again as it is changes nothing.",
    ),
    "country_not_allowed": Advice(
        "The number is good; its country is not among those that you may call.",
        "`GET /v1/limits` lists them. The operator can allow more.",
    ),
    "number_not_allowed": Advice(
        "Premium-rate, satellite and other costly numbers are never called, nor those that the operator denies.",
        "Ask the person for an ordinary number.",
    ),
    "quiet_hours": Advice(
        "It is quiet hours where the phone is, and they end after the message's deadline.",
        "Give it a later deadline, or send it in the morning. An `otp` never waits for them.",
    ),
    "source_not_allowed": Advice(
        "`from` is not one of the operator's caller ids.", "Leave `from` out, or take one that `GET /v1/limits` lists."
    ),
    "too_many_failures": Advice(
        "Too many logins failed from your address or with this key.",
        "Wait for `Retry-After`. Look for a client that goes on with an old secret.",
    ),
    "daily_cap_reached": Advice(
        "Your calls of the day (UTC) are used up, or all providers' are.",
        "Use another channel, or send it after midnight UTC. The operator can allow more.",
    ),
    "number_limit": Advice(
        "So many messages to one number look like a loop, or like somebody who is being annoyed.",
        "Wait for `Retry-After`, and let people ask for a new code less often.",
    ),
    "prefix_limit": Advice(
        "So many messages to numbers that differ in their last four digits only look like toll fraud.",
        "Wait for `Retry-After`. Look who asks you for codes to such numbers.",
    ),
    "provider_limit": Advice(
        "You sent as many messages in this minute as you may.",
        "Spread them; wait for `Retry-After`. `GET /v1/limits` shows the limit.",
    ),
    "internal_error": Advice(
        "The fault is ours and was logged.", "Send it again; tell the operator the `requestId` if it stays."
    ),
    "overloaded": Advice(
        "More requests wait than can be answered at once. Nothing was stored.",
        "Wait for `Retry-After`, then send the same again.",
    ),
    "unavailable": Advice(
        "The database did not answer in time. The message may have been stored all the same.",
        "Send the same again: with the same `messageId` it cannot ring twice.",
    ),
    "deadline_unreachable": Advice(
        "More calls wait than can be placed before this one's deadline. Nothing was stored.",
        "Use another channel at once, or send it with a later deadline.",
    ),
    "dialing_stopped": Advice(
        "The operator has stopped such calls. Nothing was stored.",
        "Use another channel; `Retry-After` says when to look again.",
    ),
}
