"""
Why a message did not end well: a closed list, each with whether sending it again makes sense and whose side it was.

Pure. The outside contract promises ``reason``, ``retryable`` and ``party`` with every status that is no success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.voice_api.codes import Reason as UpstreamReason


class Party(StrEnum):
    """Whose side the reason lies on."""

    SENDER = "sender"
    POLICY = "policy"
    SERVICE = "service"
    UPSTREAM = "upstream"
    CARRIER = "carrier"
    RECIPIENT = "recipient"


class Reason(StrEnum):
    """Reasons that 8x8's code tables do not give; theirs are in ``voice_api.codes``."""

    NO_ANSWER = "no_answer"
    BUSY = "busy"
    CALL_CANCELED = "call_canceled"
    NOT_REACHED = "not_reached"
    NOT_HEARD = "not_heard"
    OPTED_OUT = "opted_out"
    CANCELED_BY_SENDER = "canceled_by_sender"
    CANCELED_BY_OPERATOR = "canceled_by_operator"
    DEADLINE_PASSED = "deadline_passed"
    DIALING_STOPPED = "dialing_stopped"
    DAILY_CAP = "daily_cap"
    QUIET_HOURS = "quiet_hours"
    LEASE_LAPSED = "lease_lapsed"
    HISTORY_LOST = "history_lost"
    NO_SUMMARY = "no_summary"
    NEVER_CONFIRMED = "never_confirmed"
    STATUS_UNKNOWN = "status_unknown"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a provider may make of a reason; *text* is one plain sentence for people."""

    retryable: bool
    party: Party
    text: str


MEANINGS: Final[Mapping[str, Meaning]] = {
    Reason.NO_ANSWER: Meaning(True, Party.RECIPIENT, "The phone rang and nobody answered."),
    Reason.BUSY: Meaning(True, Party.RECIPIENT, "The phone was busy, or the call was declined."),
    Reason.CALL_CANCELED: Meaning(True, Party.CARRIER, "The call ended before it was connected."),
    Reason.NOT_REACHED: Meaning(True, Party.CARRIER, "The phone is off, unreachable, or the number does not exist."),
    Reason.NOT_HEARD: Meaning(True, Party.UPSTREAM, "The call broke off before the text was spoken once."),
    Reason.OPTED_OUT: Meaning(False, Party.RECIPIENT, "The person asked not to be called."),
    Reason.CANCELED_BY_SENDER: Meaning(False, Party.SENDER, "The sender canceled the message."),
    Reason.CANCELED_BY_OPERATOR: Meaning(True, Party.POLICY, "The operator of the service canceled the message."),
    Reason.DEADLINE_PASSED: Meaning(True, Party.SERVICE, "The deadline passed before the call could be placed."),
    Reason.DIALING_STOPPED: Meaning(True, Party.POLICY, "The operator has stopped such calls for now."),
    Reason.QUIET_HOURS: Meaning(
        True, Party.POLICY, "It is quiet hours where the phone is; the call waits for their end."
    ),
    Reason.DAILY_CAP: Meaning(True, Party.POLICY, "The day's calls were used up; the next day begins at midnight UTC."),
    Reason.LEASE_LAPSED: Meaning(False, Party.SERVICE, "A worker stopped while placing the call; it may have rung."),
    Reason.HISTORY_LOST: Meaning(
        False, Party.SERVICE, "The database lost its last seconds, in which the call may have been placed."
    ),
    Reason.NO_SUMMARY: Meaning(False, Party.UPSTREAM, "8x8 never reported how the call ended."),
    Reason.NEVER_CONFIRMED: Meaning(False, Party.UPSTREAM, "8x8 never confirmed the call; it may have rung."),
    Reason.STATUS_UNKNOWN: Meaning(False, Party.UPSTREAM, "8x8 reported an end that is not in its documents."),
    UpstreamReason.INVALID_NUMBER: Meaning(False, Party.SENDER, "8x8 does not accept the number."),
    UpstreamReason.TEXT_REFUSED: Meaning(False, Party.SENDER, "The text has characters that 8x8 does not speak."),
    UpstreamReason.VOICE_UNKNOWN: Meaning(False, Party.SENDER, "8x8 does not know the voice."),
    UpstreamReason.CALLFLOW_INVALID: Meaning(False, Party.SERVICE, "8x8 found the call's script invalid."),
    UpstreamReason.WEBHOOK_MISSING: Meaning(False, Party.SERVICE, "The subaccount has no webhook for key presses."),
    UpstreamReason.SOURCE_NOT_ALLOWED: Meaning(True, Party.SERVICE, "8x8 does not allow the caller id."),
    UpstreamReason.ACCOUNT_REFUSED: Meaning(True, Party.SERVICE, "8x8 refused the account."),
    UpstreamReason.ENDPOINT_WRONG: Meaning(True, Party.SERVICE, "8x8's address is configured wrongly."),
    UpstreamReason.REFUSED_UPSTREAM: Meaning(False, Party.UPSTREAM, "8x8 refused the call."),
    UpstreamReason.EXPIRED_UPSTREAM: Meaning(True, Party.UPSTREAM, "The deadline passed before 8x8 began to dial."),
    UpstreamReason.NO_COVERAGE: Meaning(False, Party.UPSTREAM, "8x8 does not cover the number's area."),
    UpstreamReason.SPEECH_FAILED: Meaning(True, Party.UPSTREAM, "The text could not be turned into speech."),
    UpstreamReason.CAPACITY: Meaning(True, Party.UPSTREAM, "All of the account's lines were taken."),
    UpstreamReason.THROTTLED: Meaning(True, Party.UPSTREAM, "8x8 asked for fewer calls."),
    UpstreamReason.UPSTREAM_ERROR: Meaning(True, Party.UPSTREAM, "8x8 had an error of its own."),
    UpstreamReason.REPLY_UNREADABLE: Meaning(False, Party.UPSTREAM, "8x8's answer was unreadable; it may have rung."),
    UpstreamReason.NO_REPLY: Meaning(False, Party.UPSTREAM, "8x8 did not answer; the phone may have rung."),
    UpstreamReason.UNREACHABLE: Meaning(True, Party.UPSTREAM, "8x8 could not be reached."),
    UpstreamReason.SUPPRESSED: Meaning(False, Party.POLICY, "The number is on a list of numbers not to be called."),
    UpstreamReason.LEASE_LOST: Meaning(True, Party.SERVICE, "The worker came too late to place the call."),
    UpstreamReason.KEY_MISSING: Meaning(True, Party.SERVICE, "The worker had no key to open the text with."),
}


def meaning_of(reason: str | None) -> Meaning | None:
    """What a stored reason means; None for none."""
    return None if reason is None else MEANINGS[reason]
