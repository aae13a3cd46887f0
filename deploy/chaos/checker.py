"""
The verdict of a drill: history, ledgers and database rows against the promises. Pure, and blind to their order.

A request that got no answer leaves it open whether its message exists; if it does, it counts as accepted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from deploy.chaos.cases import Case, cases_of
from deploy.chaos.records import DISTURBANCES, Event, Evidence, Kind, Outcome
from deploy.chaos.verdict import Findings, Promise, Verdict
from shared.lifecycle import CORRECTED, DOUBTFUL, FINAL_EVENT_TYPES, Status, event_type

#: What a session's end makes of its message, when no redial follows.
ENDINGS: Final[Mapping[str | None, frozenset[Status]]] = {
    "COMPLETED": frozenset({Status.DELIVERED}),
    "COMPLETED_UNSUBSCRIBED": frozenset({Status.DELIVERED}),
    "COMPLETED_UNSUB_ERROR": frozenset({Status.DELIVERED}),
    "NO_ANSWER": frozenset({Status.NO_ANSWER}),
    "BUSY": frozenset({Status.BUSY}),
    "CANCELED": frozenset({Status.CANCELED}),
    "FAILED": frozenset({Status.FAILED}),
    "UNSUBSCRIBED_CONTACT": frozenset({Status.BLOCKED}),
    # Before the phone rang, after its validity, or in the middle of the text.
    "ERROR": frozenset({Status.FAILED, Status.EXPIRED, Status.DELIVERED}),
}
#: Ends after which the policy may dial again.
NEGATIVE: Final = frozenset({"NO_ANSWER", "BUSY", "ERROR"})
#: What a message may come to that no phone rang for.
UNDIALLED: Final = frozenset({Status.EXPIRED, Status.FAILED, Status.CANCELED, Status.BLOCKED})
#: A redial that was due and came to nothing.
_REDIAL_LOST: Final = frozenset({Status.EXPIRED, Status.FAILED})
_DOUBT_TYPES: Final = frozenset(event_type(status) for status in DOUBTFUL)

Fault = tuple[Promise, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of what may happen at all may happen: shares of all messages, or of all events called back."""

    undetermined: float = 0.01  # of messages whose end 8x8 told, or was asked to tell
    duplicates: float = 0.03  # of callbacks
    drain_s: float = 120.0  # from the last fault, or the last accepted message
    life_s: float | None = None  # from acceptance to the final status


def check(evidence: Evidence, bounds: Bounds | None = None) -> Verdict:
    """Hold everything against everything."""
    bounds = bounds or Bounds()
    findings = Findings()
    cases = cases_of(evidence)
    for case in cases:
        for promise, what in faults_of(case, bounds):
            findings.note(promise, what, [case.message_id])
    for kind, ids in evidence.audit.items():
        findings.note(Promise.P1, f"the audit says {kind}", ids)
    _judge_strangers(evidence, cases, findings)
    figures = _figures(evidence, cases)
    _judge_shares(figures, len(cases), bounds, findings)
    _judge_drain(evidence.history, figures, bounds, findings)
    return Verdict(findings.violations(), figures)


def faults_of(case: Case, bounds: Bounds) -> Iterator[Fault]:
    """Everything that contradicts a promise in one message."""
    yield from _kept(case)
    yield from _dialled(case)
    yield from _spoken(case)
    if case.is_final:
        yield from _ended(case, bounds)
    yield from _called_back(case)


def _kept(case: Case) -> Iterator[Fault]:
    if case.row is None:
        if case.answered_ids:
            yield Promise.P1, "accepted, and not in the database"
        elif case.is_known:
            yield Promise.P6, "never accepted, however often it was sent"
        return
    if not case.is_known:
        yield Promise.P1, "in the database, and nobody sent it"
    if case.answered_ids - {case.row.id}:
        yield Promise.P1, "accepted under another id"
    if case.was_refused_as_other:
        yield Promise.P1, "its repetition was refused as another message"
    if not case.is_final:
        yield Promise.P1, "accepted, and not final"
    elif case.row.has_text:
        yield Promise.P8, "final, and its text is still there"


def _dialled(case: Case) -> Iterator[Fault]:
    requests = Counter(session.request_id for session in case.sessions)
    if any(count > 1 for count in requests.values()):
        yield Promise.P2, "one dial attempt rang several times"
    if requests.keys() - {attempt.attempt_id for attempt in case.attempts}:
        yield Promise.P2, "called without a dial attempt"
    for earlier, later in pairwise(case.sessions):
        was_told = any(post.sent_at <= later.accepted_at for post in earlier.vss)
        if earlier.request_id != later.request_id and (earlier.status not in NEGATIVE or not was_told):
            yield Promise.P2, "called again, unasked"
    if case.row is not None and len(case.sessions) > case.row.most_calls:
        yield Promise.P2, "called more often than its policy allows"


def _spoken(case: Case) -> Iterator[Fault]:
    answers = [post.came_back for session in case.sessions for post in session.vca]
    if any(isinstance(answer, int) and answer != 200 for answer in answers):
        yield Promise.P7, "a call that asked what to do next got no hang-up"


def _ended(case: Case, bounds: Bounds) -> Iterator[Fault]:
    row = case.row
    assert row is not None
    if bounds.life_s is not None and (row.finished_at or 0.0) - row.created_at > bounds.life_s:
        yield Promise.P3, f"final later than {bounds.life_s:g} s after it was accepted"
    if case.is_undetermined:
        if not row.reason:
            yield Promise.P3, "undetermined without a reason"
        if case.last_call is not None and case.last_call.was_told:
            yield Promise.P3, "undetermined, though its summary was taken"
    elif row.status not in _possible(case):
        yield Promise.P3, "its status is not what 8x8 says"


def _possible(case: Case) -> frozenset[Status]:
    """What the message may have come to, by what 8x8 knows of its calls."""
    if not case.sessions:
        return UNDIALLED
    ends = [session.status for session in case.sessions]
    completed = [end for end in ends if (end or "").startswith("COMPLETED")]
    possible = ENDINGS.get(completed[0] if completed else ends[-1], frozenset())
    return possible | _REDIAL_LOST if NEGATIVE.issuperset(end or "" for end in ends) else possible


def _called_back(case: Case) -> Iterator[Fault]:
    told = [one for one in case.deliveries if one.type in FINAL_EVENT_TYPES]
    if not all(one.is_verified for one in case.deliveries):
        yield Promise.P4, "a callback's signature does not hold"
    ids: dict[str, set[str]] = defaultdict(set)
    for one in case.deliveries:
        ids[one.type].add(one.webhook_id)
    if any(len(known) > 1 for known in ids.values()):
        yield Promise.P4, "one event was called back under several ids"
    if not case.is_final or case.row is None:
        if told:
            yield Promise.P4, "called back as final, and is not"
        return
    status = case.row.status
    if not told and not case.row.is_parked:
        yield Promise.P4, "final, and never called back"
    # A doubt may have been told before it was corrected.
    wrong = [one for one in told if one.status != status and one.type not in _DOUBT_TYPES]
    right = [one for one in told if one.status == status and one.type in (event_type(Status(status)), CORRECTED)]
    if wrong or (told and not right and not case.row.is_parked):
        yield Promise.P4, "called back with another ending than it has"


def _judge_strangers(evidence: Evidence, cases: list[Case], findings: Findings) -> None:
    """What belongs to no message at all."""
    calls = {session.session_id for case in cases for session in case.sessions}
    if strange := [session.session_id for session in evidence.sessions if session.session_id not in calls]:
        findings.note(Promise.P2, "a phone rang that nobody asked for", strange)
    names = {case.message_id for case in cases}
    if unknown := [one.message_id for one in evidence.deliveries if one.message_id not in names]:
        findings.note(Promise.P4, "called back about a message that nobody sent", unknown)


def _figures(evidence: Evidence, cases: list[Case]) -> dict[str, float | int | str]:
    kinds = Counter(event.kind for event in evidence.history)
    outcomes = Counter(event.facts["outcome"] for event in evidence.history if event.kind is Kind.SUBMIT)
    statuses = Counter(row.status for row in evidence.rows)
    undetermined = [case for case in cases if case.is_undetermined]
    untold = sum(case.was_never_told for case in undetermined)
    events = len({one.webhook_id for one in evidence.deliveries})
    return {
        "messages": len(cases),
        "accepted": sum(bool(case.answered_ids) for case in cases),
        "requests refused": outcomes[Outcome.FAIL],
        "requests without an answer": outcomes[Outcome.INFO],
        "kills": kinds[Kind.KILL],
        "restarts": kinds[Kind.RESTART],
        "faults": kinds[Kind.FAULT_ON],
        "calls": len(evidence.sessions),
        "redials": sum(max(0, len(case.sessions) - 1) for case in cases),
        **{f"ended {status}": statuses[status] for status in sorted(statuses)},
        "undetermined, 8x8 silent": untold,
        "undetermined, other": len(undetermined) - untold,
        "undetermined, never called": sum(not case.sessions for case in undetermined),
        "callbacks": events,
        "callbacks doubled": len(evidence.deliveries) - events,
    }


def _judge_shares(figures: dict[str, float | int | str], messages: int, bounds: Bounds, findings: Findings) -> None:
    undetermined, doubled = int(figures["undetermined, other"]), int(figures["callbacks doubled"])
    if undetermined > bounds.undetermined * messages:
        findings.note(Promise.P3, f"{undetermined} of {messages} are undetermined; bound {bounds.undetermined:.1%}")
    if doubled > bounds.duplicates * int(figures["callbacks"]):
        findings.note(Promise.P4, f"{doubled} callbacks came twice; bound {bounds.duplicates:.1%}")


def _judge_drain(
    history: tuple[Event, ...], figures: dict[str, float | int | str], bounds: Bounds, findings: Findings
) -> None:
    quiet_at = max((event.at_s for event in history if event.kind in DISTURBANCES or _is_accepted(event)), default=0.0)
    drained_at = max((event.at_s for event in history if event.kind is Kind.DRAINED), default=None)
    if drained_at is None:
        findings.note(Promise.P5, "it never came to rest")
        return
    figures["drained after, s"] = took_s = round(max(0.0, drained_at - quiet_at), 1)
    if took_s > bounds.drain_s:
        findings.note(Promise.P5, f"it came to rest {took_s:g} s after the last fault; bound {bounds.drain_s:g} s")


def _is_accepted(event: Event) -> bool:
    return event.kind is Kind.SUBMIT and event.facts["outcome"] == Outcome.OK
