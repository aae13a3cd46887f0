"""
What 8x8 would say to the callflow of a test message, and later of its call. Pure: nothing here reaches a phone.

The last four digits of the number choose the outcome, as in 8x8's simulator where both know it. Answers and summaries
have the shapes of 8x8's own, so that everything behind them is what a live message meets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared.times import rfc3339
from shared.voice_api.codes import Disposition, Reason, Verdict

#: Stands where a live attempt names the 8x8 subaccount; no such subaccount can be configured.
PRETENDED_SUBACCOUNT: Final = "ringpost-test"
#: Attempt ids of test messages begin with it; those of live ones come before all of them.
PRETENDED_PREFIX: Final = "test_"

_SUFFIX_DIGITS: Final = 4
#: Times within a pretended call, in seconds.
_RING_S: Final = 2
_UNANSWERED_S: Final = 8
#: A slow one takes so many times as long.
_SLOW: Final = 10


_CREATED: Final = Verdict(Disposition.CREATED, status_message="Pretended")  # without the session's id


@dataclass(frozen=True, slots=True)
class Pretended:
    """How one dial of a test message goes."""

    means: str
    session_status: str = "COMPLETED"
    is_answered: bool = True
    hears_s: float = math.inf  # before hanging up
    error_code: int | None = None
    answer: Verdict = _CREATED
    is_summarised: bool = True
    is_slow: bool = False


def _unanswered(means: str, session_status: str, error_code: int | None = None) -> Pretended:
    return Pretended(means, session_status, is_answered=False, error_code=error_code)


_DELIVERED: Final = Pretended("answers and listens to the end")
_BUSY: Final = _unanswered("busy", "BUSY")
_NO_ANSWER: Final = _unanswered("nobody answers", "NO_ANSWER")
_LOST: Final = Verdict(Disposition.UNKNOWN, Reason.NO_REPLY)

#: By the last four digits: dial by dial, and the last one repeats.
OUTCOMES: Final[Mapping[str, tuple[Pretended, ...]]] = {
    "0001": (_BUSY,),
    "0002": (_NO_ANSWER,),
    "0003": (_unanswered("switched off or unreachable", "FAILED"),),
    "0004": (_unanswered("ends while ringing", "CANCELED"),),
    "0007": (Pretended("answers and hangs up after 1 s", hears_s=1),),
    "0009": (_unanswered("is on 8x8's opt-out list", "UNSUBSCRIBED_CONTACT"),),
    "0011": (_BUSY, _DELIVERED),
    "0012": (_NO_ANSWER, _DELIVERED),
    "0016": (_unanswered("8x8 comes to it too late", "ERROR", -2007),),
    "0031": (Pretended("the answer of 8x8 is lost; a summary settles it", answer=_LOST),),
    "0032": (Pretended("the answer of 8x8 is lost and no summary comes", answer=_LOST, is_summarised=False),),
    "0033": (Pretended("8x8 takes the call and no summary comes", is_summarised=False),),
    "0034": (
        Pretended(
            "8x8 refuses the number",
            answer=Verdict(Disposition.REFUSED, Reason.INVALID_NUMBER, -1017, "Destination is invalid"),
            is_summarised=False,
        ),
    ),
    "0041": (Pretended("as any other, ten times as late", is_slow=True),),
    "0042": (Pretended("nobody answers, ten times as late", "NO_ANSWER", is_answered=False, is_slow=True),),
}


@dataclass(frozen=True, slots=True)
class PretendedDial:
    """One dial attempt of a test message."""

    attempt_id: str
    number: int  # 1 is the first
    source: str
    destination: str = field(repr=False)
    speaking_s: float
    at: datetime


@dataclass(frozen=True, slots=True)
class PretendedReply:
    """What 8x8 would answer, and the body of the webhook to come; *after* calls' usual lengths of pretended ones."""

    answer: Verdict
    summary: bytes | None = field(repr=False)
    after: int


def pretend(dial: PretendedDial) -> PretendedReply:
    """What becomes of a dial."""
    plan = OUTCOMES.get(dial.destination[-_SUFFIX_DIGITS:], (_DELIVERED,))
    how = plan[min(dial.number, len(plan)) - 1]
    session_id = f"session_{dial.attempt_id}"
    answer = replace(how.answer, session_id=session_id) if how.answer is _CREATED else how.answer
    summary = _summary(dial, how, session_id) if how.is_summarised else None
    return PretendedReply(answer, summary, _SLOW if how.is_slow else 1)


def _summary(dial: PretendedDial, how: Pretended, session_id: str) -> bytes:
    heard_s = min(dial.speaking_s, how.hears_s) if how.is_answered else 0.0
    ended = dial.at + timedelta(seconds=_RING_S + heard_s if how.is_answered else _UNANSWERED_S)
    payload: dict[str, Any] = {
        "sessionId": session_id,
        "subAccountId": PRETENDED_SUBACCOUNT,
        "sessionStatus": how.session_status,
        "startTime": rfc3339(dial.at),
        "endTime": rfc3339(ended),
        "lastAction": "HANGUP" if how.is_answered else "MAKE_CALL",
        "callCount": 1,
        "clientRequestId": dial.attempt_id,
        "details": {"callA": _leg(dial, how, ended, heard_s)},
    }
    if how.error_code is not None:
        payload["errorDetails"] = {"errorCode": how.error_code, "errorMsg": how.means}
    body = {"payload": payload, "namespace": "VOICE", "eventType": "SESSION_SUMMARY", "description": "Pretended"}
    return json.dumps(body).encode()


def _leg(dial: PretendedDial, how: Pretended, ended: datetime, heard_s: float) -> dict[str, Any]:
    leg: dict[str, Any] = {
        "callId": f"call_{dial.attempt_id}",
        "callDirection": "OUTBOUND",
        "callType": "PSTN",
        "initiatedTimestamp": rfc3339(dial.at),
        "disconnectedTimestamp": rfc3339(ended),
        "source": dial.source,
        "destination": dial.destination,
        "callStatus": how.session_status,
        "callDuration": math.ceil(heard_s),
    }
    if how.is_answered:
        leg["connectedTimestamp"] = rfc3339(dial.at + timedelta(seconds=_RING_S))
        leg["callQuality"] = {"mos": 4.4, "packetLossRate": 0.0, "jitter": 5}
    return leg
