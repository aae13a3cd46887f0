"""
What 8x8's call log shows of calls whose outcome is not known: this one is there, or it is surely not. Pure.

A wrong "there" tells a provider another call's end; a wrong "not there" rings a phone twice. So both need proof, and
everything else leaves the doubt as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.voice_api.call_log import LoggedSession

#: How far 8x8's clock and ours may be apart, and how far an export must reach beyond a call.
MARGIN: Final = timedelta(seconds=60)
#: An export is asked for this much more than it must cover.
_SLACK: Final = timedelta(seconds=60)
#: The calls of one export began within this time: a busy account's log is long.
_SPAN: Final = timedelta(minutes=15)
#: A log whose calls lie further outside of what was asked for has its times in another zone than we think.
_ASTRAY: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A dial attempt that 8x8 took or may have taken, and whose end is not known."""

    attempt_id: str
    message_id: str
    lane: str
    session_id: str | None
    subaccount_id: str
    source: str
    destination_key: bytes
    started_at: datetime
    valid_until: datetime
    ready_at: datetime  # its call is over by then, and was given the time to appear in the log
    may_redial: bool  # its sender asked for that rather than a doubt, and it could still be heard in time
    lookups: int  # finished exports that were asked about it


@dataclass(frozen=True, slots=True)
class Rival:
    """Any attempt without a session, to one of the numbers in question: a call in the log may be its own."""

    attempt_id: str
    subaccount_id: str
    source: str
    destination_key: bytes
    started_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """The span of time that an export is asked for."""

    since: datetime
    until: datetime

    def covers(self, doubt: Doubt) -> bool:
        """Whether the attempt's call lies inside, with a margin."""
        return self.since <= doubt.started_at - MARGIN and doubt.valid_until + MARGIN <= self.until


def window_for(doubts: Sequence[Doubt]) -> Window | None:
    """The window of the next export: around the attempt that was asked about least, then the oldest."""
    if not doubts:
        return None
    anchor = min(doubts, key=lambda doubt: (doubt.lookups, doubt.started_at)).started_at
    near = [doubt for doubt in doubts if abs(doubt.started_at - anchor) <= _SPAN]
    reach = MARGIN + _SLACK
    return Window(
        min(doubt.started_at for doubt in near) - reach,
        max(doubt.valid_until for doubt in near) + reach,
    )


@dataclass(frozen=True, slots=True)
class Log:
    """One export as far as it concerns us."""

    window: Window
    requested_at: datetime
    sessions: Sequence[LoggedSession]
    destination_keys: Mapping[str, Collection[bytes]]  # of each session
    bound: Collection[str]  # sessions that belong to attempts of ours
    known: Collection[str]  # sessions that 8x8 reported, of calls in the window: the log must have them
    vague: int  # rows that could be anybody's
    first: datetime | None
    last: datetime | None

    @property
    def flaw(self) -> str | None:
        """Why a call that is not there may have been all the same; None where there is no reason."""
        seen = {session.session_id for session in self.sessions}
        if self.vague:
            return "rows_unreadable"
        if self.is_astray:
            return "times_outside_window"
        if any(session_id not in seen for session_id in self.known):
            return "known_calls_missing"
        return None

    @property
    def is_astray(self) -> bool:
        """Its times are not where they were asked for: none of them can be compared with ours."""
        early = self.first is not None and self.first < self.window.since - _ASTRAY
        return early or (self.last is not None and self.last > self.window.until + _ASTRAY)


class Shown(StrEnum):
    """What a log shows of one attempt."""

    FOUND = "found"  # this session is its call, and it ended
    RUNNING = "running"  # this session is its call, but the log does not tell how it ended
    AMBIGUOUS = "ambiguous"  # a call to the number is there that may be another attempt's, or nobody's
    ABSENT = "absent"  # 8x8 never made this call
    NOT_SHOWN = "not_shown"  # it is not there, which proves nothing


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the log shows of one attempt."""

    doubt: Doubt
    shown: Shown
    session: LoggedSession | None = None


def weigh(log: Log, doubts: Sequence[Doubt], rivals: Sequence[Rival]) -> list[Evidence]:
    """What a log shows of each attempt; *rivals* are all attempts that its calls may belong to, these included."""
    by_id = {session.session_id: session for session in log.sessions}
    unbound: dict[bytes, list[LoggedSession]] = {}
    for session in log.sessions:
        if session.session_id not in log.bound:
            for key in log.destination_keys[session.session_id]:
                unbound.setdefault(key, []).append(session)
    of_phone: dict[bytes, list[Rival]] = {}
    for rival in rivals:
        of_phone.setdefault(rival.destination_key, []).append(rival)
    found = []
    for doubt in doubts:
        key = doubt.destination_key
        if doubt.session_id is not None:
            found.append(_ended(doubt, by_id.get(doubt.session_id)))
        elif unbound.get(key):
            found.append(_matched(log, doubt, unbound[key], of_phone.get(key, [])))
        else:
            found.append(Evidence(doubt, Shown.ABSENT if _is_absent(log, doubt) else Shown.NOT_SHOWN))
    return found


def _ended(doubt: Doubt, session: LoggedSession | None) -> Evidence:
    if session is None:
        return Evidence(doubt, Shown.NOT_SHOWN)
    return Evidence(doubt, Shown.FOUND if session.is_over else Shown.RUNNING, session)


def _matched(log: Log, doubt: Doubt, sessions: Sequence[LoggedSession], rivals: Sequence[Rival]) -> Evidence:
    """One call that fits, and that fits no other attempt: anything else is no match."""
    fitting = [session for session in sessions if _fits(session, doubt)]
    if len(fitting) != 1 or log.is_astray:
        return Evidence(doubt, Shown.AMBIGUOUS)
    (session,) = fitting
    if any(_fits(session, rival) for rival in rivals if rival.attempt_id != doubt.attempt_id):
        return Evidence(doubt, Shown.AMBIGUOUS)
    return _ended(doubt, session)


def _fits(session: LoggedSession, attempt: Doubt | Rival) -> bool:
    """Whether a call to the attempt's number may be its own; whatever the log tells must agree."""
    began_at = session.began_at
    return (
        session.subaccount_id in (None, attempt.subaccount_id)
        and session.source in (None, attempt.source)
        and began_at is not None
        and attempt.started_at - MARGIN <= began_at <= attempt.valid_until + MARGIN
    )


def _is_absent(log: Log, doubt: Doubt) -> bool:
    """8x8 surely made no call for it: asked late enough, about all of its time, and the log can be believed."""
    return log.requested_at >= doubt.ready_at and log.window.covers(doubt) and log.flaw is None
