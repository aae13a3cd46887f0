"""What step 2 knows of a claimed call on its way into the database: 8x8's answer, or why it was not asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.db.queries import dial
from shared.db.queries.claimed import ClaimedCall
from shared.db.queries.pacing import Refused
from shared.lifecycle import Move
from shared.quiet import Quiet
from shared.stops import Stop
from shared.voice_api.codes import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Sent:
    """One dial attempt with its answer."""

    call: ClaimedCall
    answer: Verdict
    move: Move

    def result(self) -> dial.DialResult:
        """What is stored of it."""
        return dial.DialResult(
            attempt_id=self.call.attempt_id,
            disposition=self.answer.disposition,
            reason=self.answer.reason,
            status_code=self.answer.status_code,
            status_message=self.answer.status_message or None,
            session_id=self.answer.session_id,
            move=self.move,
        )


@dataclass(frozen=True, slots=True)
class NotMade:
    """A claimed call that must not be made now, on its way back."""

    call: ClaimedCall
    why: Stop | Quiet


def refused(sent: Sequence[Sent]) -> Refused:
    """Those that 8x8 refused for their number."""
    refused = Refused()
    for one in sent:
        if one.answer.over_capacity:
            many = refused.pace if one.answer.reason is Reason.THROTTLED else refused.lines
            many.append(one.call.attempt_id)
            refused.retry_after_s = max(refused.retry_after_s, one.answer.retry_after_s or 0)
    return refused
