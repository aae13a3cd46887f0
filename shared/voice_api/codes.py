"""8x8's status and error codes as tables: what each one means for the message, the account and the pace."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from shared.voice_api.events import normalise_status

MAX_STATUS_MESSAGE: Final = 200  # characters
MAX_RETRY_AFTER_S: Final = 3600.0
_MAX_CODE: Final = 99_999  # beyond any code of 8x8, and within a PostgreSQL integer
_MAX_SESSION_ID: Final = 128  # characters; 8x8's ids have 36
_LONG_NUMBER: Final = re.compile(r"\d{4,}")


class Disposition(StrEnum):
    """What the answer to one callflow allows us to do next."""

    CREATED = "created"  # a call session exists
    REFUSED = "refused"  # final: the same callflow would be refused again
    EXPIRED = "expired"  # final: its validity was over
    RETRY = "retry"  # surely no session: dial again after a wait
    BLOCKED_ACCOUNT = "blocked_account"  # surely no session: pause the subaccount, keep the message
    BLOCKED_SOURCE = "blocked_source"  # surely no session: pause the caller id, keep the message
    UNKNOWN = "unknown"  # a phone may be ringing: never dial again unasked
    SUPPRESSED = "suppressed"  # final, and not sent: the number is not to be called
    NOT_SENT = "not_sent"  # no request byte left: dialing again is safe


class Reason(StrEnum):
    """Why a call was not placed, or failed: a closed list that providers may build on."""

    INVALID_NUMBER = "invalid_number"
    TEXT_REFUSED = "text_refused"
    VOICE_UNKNOWN = "voice_unknown"
    CALLFLOW_INVALID = "callflow_invalid"
    WEBHOOK_MISSING = "webhook_missing"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    ACCOUNT_REFUSED = "account_refused"
    ENDPOINT_WRONG = "endpoint_wrong"
    REFUSED_UPSTREAM = "refused_upstream"
    EXPIRED_UPSTREAM = "expired_upstream"
    NO_COVERAGE = "no_coverage"
    SPEECH_FAILED = "speech_failed"
    CAPACITY = "capacity"
    THROTTLED = "throttled"
    UPSTREAM_ERROR = "upstream_error"
    REPLY_UNREADABLE = "reply_unreadable"
    NO_REPLY = "no_reply"
    UNREACHABLE = "unreachable"
    LEASE_LOST = "lease_lost"
    KEY_MISSING = "key_missing"
    SUPPRESSED = "suppressed"


class Scope(StrEnum):
    """What beyond the one message is broken, and so worth pausing."""

    NONE = "none"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """
    What one code in the answer to a callflow means.

    ``over_capacity`` asks for fewer calls at once and a slower pace.
    """

    disposition: Disposition
    reason: Reason
    over_capacity: bool = False


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """
    What one ``errorDetails.errorCode`` of a session summary means.

    ``redial`` holds only for a phone that was never connected; ``redial_once`` limits it to one more.
    """

    reason: Reason
    redial: bool = False
    redial_once: bool = False
    scope: Scope = Scope.NONE
    over_capacity: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What became of one callflow.

    ``status_code`` is 8x8's own code, the HTTP status where the body had none, None where no answer came.
    ``status_message`` has no digits in runs of four or more: 8x8 may quote the destination or the text.
    """

    disposition: Disposition
    reason: Reason | None = None
    status_code: int | None = None
    status_message: str = ""
    session_id: str | None = None
    retry_after_s: float | None = None
    over_capacity: bool = False


_CALLFLOW_INVALID: Final = ReplyRule(Disposition.REFUSED, Reason.CALLFLOW_INVALID)
_SOURCE_NOT_ALLOWED: Final = ReplyRule(Disposition.BLOCKED_SOURCE, Reason.SOURCE_NOT_ALLOWED)
_ACCOUNT_REFUSED: Final = ReplyRule(Disposition.BLOCKED_ACCOUNT, Reason.ACCOUNT_REFUSED)
_ENDPOINT_WRONG: Final = ReplyRule(Disposition.BLOCKED_ACCOUNT, Reason.ENDPOINT_WRONG)
_REFUSED: Final = ReplyRule(Disposition.REFUSED, Reason.REFUSED_UPSTREAM)
_EXPIRED: Final = ReplyRule(Disposition.EXPIRED, Reason.EXPIRED_UPSTREAM)
_THROTTLED: Final = ReplyRule(Disposition.RETRY, Reason.THROTTLED, over_capacity=True)
_UPSTREAM_ERROR: Final = ReplyRule(Disposition.RETRY, Reason.UPSTREAM_ERROR)
_AMBIGUOUS_ERROR: Final = ReplyRule(Disposition.UNKNOWN, Reason.UPSTREAM_ERROR)
_UNREADABLE: Final = ReplyRule(Disposition.UNKNOWN, Reason.REPLY_UNREADABLE)

# The codes of the -10xx family belong to the answer; those of -20xx are documented for the summary only,
# but "trunk capacity" means the same wherever it is said.
REPLY_RULES: Final[Mapping[int, ReplyRule]] = {
    -1001: _CALLFLOW_INVALID,  # not JSON
    -1002: ReplyRule(Disposition.REFUSED, Reason.VOICE_UNKNOWN),
    -1003: _CALLFLOW_INVALID,  # minDigits without maxDigits
    -1004: ReplyRule(Disposition.REFUSED, Reason.WEBHOOK_MISSING),
    -1005: _CALLFLOW_INVALID,  # digitTimeout without overallTimeout
    -1006: _CALLFLOW_INVALID,  # overallTimeout not above digitTimeout
    -1007: _CALLFLOW_INVALID,  # unknown action
    -1008: _CALLFLOW_INVALID,  # completeOnHash=false without maxDigits
    -1009: _CALLFLOW_INVALID,  # bad entry; the message has its JSON path
    -1010: _CALLFLOW_INVALID,  # action used too often
    -1011: _CALLFLOW_INVALID,  # more than one destination
    -1012: _CALLFLOW_INVALID,  # hangup misplaced
    -1013: _CALLFLOW_INVALID,  # first action is not makeCall
    -1014: _SOURCE_NOT_ALLOWED,
    -1015: _EXPIRED,
    -1016: ReplyRule(Disposition.REFUSED, Reason.TEXT_REFUSED),
    -1017: ReplyRule(Disposition.REFUSED, Reason.INVALID_NUMBER),
    -1018: _CALLFLOW_INVALID,  # scenario mixed with other actions
    -1019: _CALLFLOW_INVALID,  # scenario without a name
    -1020: _CALLFLOW_INVALID,  # scenario unknown or not permitted
    -2001: _UPSTREAM_ERROR,
    -2002: _UPSTREAM_ERROR,
    -2004: ReplyRule(Disposition.REFUSED, Reason.NO_COVERAGE),
    -2007: _EXPIRED,
    -2008: _SOURCE_NOT_ALLOWED,
    -2010: ReplyRule(Disposition.RETRY, Reason.CAPACITY, over_capacity=True),
    -9999: _UPSTREAM_ERROR,
}

# For an HTTP status, or the same number as ``statusCode``. A 4xx says that nothing was done: no call exists.
# One that would meet every message alike pauses the subaccount instead of failing them one by one.
STATUS_RULES: Final[Mapping[int, ReplyRule]] = {
    307: _ENDPOINT_WRONG,  # 307 and 308 promise that the request was not carried out; 301 to 303 do not
    308: _ENDPOINT_WRONG,
    400: _REFUSED,
    401: _ACCOUNT_REFUSED,
    402: _ACCOUNT_REFUSED,
    403: _ACCOUNT_REFUSED,
    404: _ACCOUNT_REFUSED,
    405: _ENDPOINT_WRONG,
    407: _ENDPOINT_WRONG,
    408: _UNREADABLE,  # a gateway's word: the callflow may have passed it
    410: _ENDPOINT_WRONG,
    413: _REFUSED,
    415: _REFUSED,
    421: _ENDPOINT_WRONG,
    422: _REFUSED,
    425: _UPSTREAM_ERROR,  # "too early": refused unprocessed, to be repeated
    426: _ACCOUNT_REFUSED,
    429: _THROTTLED,
}

ERROR_RULES: Final[Mapping[int, ErrorRule]] = {
    -2001: ErrorRule(Reason.UPSTREAM_ERROR, redial=True),
    -2002: ErrorRule(Reason.UPSTREAM_ERROR, redial=True),
    -2003: ErrorRule(Reason.CALLFLOW_INVALID),
    -2004: ErrorRule(Reason.NO_COVERAGE),
    -2005: ErrorRule(Reason.SPEECH_FAILED, redial=True, redial_once=True),
    -2006: ErrorRule(Reason.CALLFLOW_INVALID),
    -2007: ErrorRule(Reason.EXPIRED_UPSTREAM),
    -2008: ErrorRule(Reason.SOURCE_NOT_ALLOWED, scope=Scope.SOURCE),
    -2009: ErrorRule(Reason.CALLFLOW_INVALID),
    -2010: ErrorRule(Reason.CAPACITY, redial=True, over_capacity=True),
    -9999: ErrorRule(Reason.UPSTREAM_ERROR, redial=True, redial_once=True),
}
UNLISTED_ERROR: Final = ErrorRule(Reason.UPSTREAM_ERROR)  # nothing says that another attempt would be wise


def error_rule(code: int | None) -> ErrorRule:
    """What to make of a session summary's ``errorCode``, listed or not."""
    return UNLISTED_ERROR if code is None else ERROR_RULES.get(code, UNLISTED_ERROR)


def retry_after_s(header: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header, at most an hour; None for the date form: 8x8 sends seconds."""
    text = (header or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return min(float(text), MAX_RETRY_AFTER_S)


def judge(http_status: int, body: bytes, retry_after: str | None = None) -> Verdict:
    """
    What 8x8's answer to a callflow means. Never raises, whatever the bytes.

    Only 2xx with CREATED and a session id is a success. Where neither NOT_CREATED nor a listed code nor a 4xx
    says that no session was made, the answer is UNKNOWN: a wrong "failed" costs a second call.
    """
    reply = _parsed(body)
    code = _code(reply.get("statusCode"))
    said = reply.get("sessionStatus")
    session_status = normalise_status(said) if isinstance(said, str) else None
    session_id = _session_id(reply.get("sessionId"))
    message = _message(reply.get("statusMessage"))
    if 200 <= http_status < 300 and session_status == "CREATED" and session_id:
        return Verdict(Disposition.CREATED, None, code, message, session_id)
    rule = _rule(http_status, code, session_status)
    return Verdict(
        disposition=rule.disposition,
        reason=rule.reason,
        status_code=http_status if code is None else code,
        status_message=message,
        retry_after_s=retry_after_s(retry_after) if rule.disposition is Disposition.RETRY else None,
        over_capacity=rule.over_capacity,
    )


def _rule(http_status: int, code: int | None, session_status: str | None) -> ReplyRule:
    if session_status == "CREATED":
        return _UNREADABLE  # CREATED without a usable session id, or under an error status
    if session_status == "NOT_CREATED":
        return _rule_of_refusal(http_status, code)
    listed = REPLY_RULES.get(code) if code is not None else None
    # Without NOT_CREATED only a code that names its cause counts: "unknown error" may follow a call.
    if listed is not None and listed.disposition is not Disposition.RETRY:
        return listed
    return _rule_of_status(http_status)


def _rule_of_refusal(http_status: int, code: int | None) -> ReplyRule:
    """8x8 says itself that no session was made: only the wait and the blame are open."""
    code = http_status if code is None else code
    listed = REPLY_RULES.get(code) or STATUS_RULES.get(code)
    if listed is not None and listed.disposition is not Disposition.UNKNOWN:
        return listed
    if -1999 <= code <= -1000 or (400 <= code < 500 and code != 408):
        return _REFUSED
    return _UPSTREAM_ERROR


def _rule_of_status(http_status: int) -> ReplyRule:
    if http_status in STATUS_RULES:
        return STATUS_RULES[http_status]
    if 400 <= http_status < 500:
        return _REFUSED
    return _AMBIGUOUS_ERROR if http_status >= 500 else _UNREADABLE


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return reply if isinstance(reply, dict) else {}


def _code(value: object) -> int | None:
    """An integer, also from a numeric string: 8x8's own endpoints differ in this."""
    if isinstance(value, str) and len(value) <= 6:
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_CODE:
        return None
    return value


def _session_id(value: object) -> str | None:
    """An opaque id that PostgreSQL can hold: no NUL, no lone surrogate, never cut short."""
    if not isinstance(value, str) or not value.isprintable():
        return None
    session_id = value.strip()
    return session_id if 0 < len(session_id) <= _MAX_SESSION_ID else None


def _message(value: object) -> str:
    if not isinstance(value, str):
        return ""
    printable = "".join(letter if letter.isprintable() else " " for letter in value[:MAX_STATUS_MESSAGE])
    return _LONG_NUMBER.sub("****", printable).strip()
