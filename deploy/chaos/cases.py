"""Everything that is known of one message, put together from all sides. Pure, and blind to the order it comes in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from deploy.chaos.records import Attempt, Delivery, Event, Evidence, Kind, Outcome, Row, Session
from shared.lifecycle import DOUBTFUL, FINALS

_TOLD_AS_CONFLICT: Final = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One message: what its sender saw, our rows, 8x8's calls and the receiver's callbacks, each in order of time."""

    message_id: str
    answered_ids: frozenset[str]
    is_known: bool  # to its sender
    was_refused_as_other: bool
    row: Row | None
    attempts: tuple[Attempt, ...]
    sessions: tuple[Session, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.row is not None and self.row.status in FINALS

    @property
    def is_undetermined(self) -> bool:
        """Whether it has ended in doubt."""
        return self.is_final and self.row is not None and self.row.status in DOUBTFUL

    @property
    def was_never_told(self) -> bool:
        """Whether 8x8 kept the end of one of its calls to itself."""
        return any(session.status is not None and not session.vss for session in self.sessions)

    @property
    def last_call(self) -> Session | None:
        """The call that its last attempt led to; None when it led to none."""
        last = self.attempts[-1].attempt_id if self.attempts else None
        return next((session for session in self.sessions if session.request_id == last), None)


def cases_of(evidence: Evidence) -> list[Case]:
    """Every message that its sender or the database knows, by id."""
    submits: dict[str, list[Event]] = defaultdict(list)
    for event in evidence.history:
        if event.kind is Kind.SUBMIT:
            submits[event.facts["message"]].append(event)
    rows = {row.message_id: row for row in evidence.rows}
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in sorted(evidence.attempts, key=lambda attempt: (attempt.number, attempt.attempt_id)):
        attempts[attempt.id].append(attempt)
    calls: dict[str, list[Session]] = defaultdict(list)
    for session in sorted(evidence.sessions, key=lambda session: (session.accepted_at, session.session_id)):
        calls[session.destination].append(session)
    told: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in sorted(evidence.deliveries, key=lambda delivery: (delivery.at, delivery.webhook_id)):
        told[delivery.message_id].append(delivery)
    return [
        Case(
            message_id=name,
            answered_ids=frozenset(one.facts["id"] for one in submits[name] if one.facts["outcome"] == Outcome.OK),
            is_known=bool(submits[name]),
            was_refused_as_other=any(one.facts.get("status") == _TOLD_AS_CONFLICT for one in submits[name]),
            row=rows.get(name),
            attempts=tuple(attempts[rows[name].id]) if name in rows else (),
            sessions=tuple(session for number in _numbers(submits[name]) for session in calls[number]),
            deliveries=tuple(told[name]),
        )
        for name in sorted(submits.keys() | rows.keys())
    ]


def _numbers(submits: list[Event]) -> list[str]:
    return sorted({one.facts["to"] for one in submits})
