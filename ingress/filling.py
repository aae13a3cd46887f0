"""Messages that are made of a template and its variables."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ingress.call_request import CallRequest
from ingress.problems import MemberError, Problem, invalid
from shared import speech
from shared.db.database import Database, DatabaseAway
from shared.db.queries import templates
from shared.db.queries.providers import KeyOwner
from shared.strand import aside

#: Filled by a member of its own, as it is spelled out.
CODE: Final = "code"
#: So long a process goes by what it read, in seconds: a change counts everywhere within this.
_FRESH_S: Final = 5.0
#: After PostgreSQL did not answer, so long nobody asks it again, in seconds: a batch would ask a thousand times.
_AWAY_S: Final = 1.0
#: Texts that a process remembers; beyond, it forgets them all and reads anew.
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Text:
    said: str
    language: str | None


class Templates:
    """What messages are made of, as one ingress process knows it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str], tuple[float, _Text | None]] = {}
        self._away_until = 0.0

    def fill(self, call: CallRequest, owner: KeyOwner) -> CallRequest:
        """
        The call with its text, made of its template and variables where it names one.

        Raises:
            Problem: 422, naming what does not fit; 503, where PostgreSQL does not answer.
        """
        if call.template is None:
            return call
        text, is_fresh = self._text(owner.provider_id, call.template)
        if not is_fresh and _misfits(text, call):  # it may have changed since
            text, _ = self._text(owner.provider_id, call.template, anew=True)
        if errors := _misfits(text, call):
            raise invalid(errors)
        assert text is not None
        # In one go, so that no variable's value is taken for a place.
        said = speech.filled(text.said, call.variables)
        return call.model_copy(update={"message": said, "language": call.language or text.language})

    def _text(self, provider_id: str, reference: str, *, anew: bool = False) -> tuple[_Text | None, bool]:
        """The text, and whether it was read just now."""
        key, now = (provider_id, reference), time.monotonic()
        read_at, known = self._known.get(key, (0.0, None))
        if known is not None and not anew and now - read_at < _FRESH_S:
            return known, False
        try:
            row = None if now < self._away_until else aside(partial(self._read, provider_id, reference))
        except DatabaseAway:
            self._away_until = time.monotonic() + _AWAY_S
        if time.monotonic() < self._away_until:
            if known is not None:
                return known, True  # what was last known is better than no message
            raise Problem("unavailable", "The database does not answer.", retry_after_s=1)
        if len(self._known) >= _REMEMBERED:
            self._known = {}
        found = None if row is None else _Text(row.text, row.language)
        self._known[key] = now, found
        return found, True

    def _read(self, provider_id: str, reference: str) -> Any:
        name, _, version = reference.partition("@")
        read = partial(templates.one, provider_id=provider_id, name=name, version=int(version) if version else None)
        return self._database.run(read, alone=True, patience_s=0.5)


def _misfits(text: _Text | None, call: CallRequest) -> list[MemberError]:
    if text is None:
        return [MemberError("template", "is none of your templates, or not in this version")]
    wanted, given = set(speech.placeholders(text.said)) - {CODE}, {*call.variables}
    lacking = [MemberError(f"variables.{name}", "is required by the template") for name in sorted(wanted - given)]
    return lacking + [
        MemberError(f"variables.{name}", "has no place in the template") for name in sorted(given - wanted)
    ]
