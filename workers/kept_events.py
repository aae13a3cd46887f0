"""A kept webhook on its way through step 4: what it says, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeGuard

from shared.db.queries.inbox import InboxRow
from shared.matching import Candidate
from shared.verdict import Finding
from shared.voice_api.events import CallAction, Malformed, SessionSummary, WebhookEvent

#: A webhook whose key this process does not hold, while the key is being changed; another opens it.
UNOPENED: Final = Malformed("sealed with a key that is not held here")


@dataclass(frozen=True, slots=True)
class Kept:
    """A webhook from the inbox with what it says."""

    row: InboxRow
    event: WebhookEvent
    named: Candidate | None = None  # of the session that it names, as the claim saw it

    def anew(self) -> Kept:
        """The same, to be matched by how things stand now."""
        return Kept(self.row, self.event)

    @property
    def session_id(self) -> str | None:
        """The session that it reports on."""
        return self.event.session_id if isinstance(self.event, CallAction | SessionSummary) else None


@dataclass(frozen=True, slots=True)
class Found:
    """What one webhook comes to, and the attempt that it belongs to."""

    kept: Kept
    attempt: Candidate | None
    finding: Finding


def may_match(event: WebhookEvent) -> TypeGuard[CallAction | SessionSummary]:
    """Whether it may be of a call of ours."""
    return isinstance(event, CallAction | SessionSummary) and not event.is_inbound
