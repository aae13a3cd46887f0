"""What keeps a provider, or whoever uses it, from running up the bill: asked of each message before it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ingress.cache import Refreshed
from ingress.problems import MemberError, Problem
from ingress.velocity import Asked, Full, Taken, Velocity
from ingress.watch import Seen, Watch
from shared.db.queries.accept import Accepted, NewMessage
from shared.db.queries.providers import KeyOwner
from shared.lifecycle import Mode
from shared.phone import PhoneNumber
from shared.sealing import Sealer
from shared.sending_rules import parse_number_limits
from shared.settings import Settings

#: Numbers that differ in so many last digits are of one range.
RANGE_DIGITS: Final = 4
_STARS: Final = "*" * RANGE_DIGITS
_SPANS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_WHOSE: Final[Mapping[str, str]] = {
    "number_limit": "customerPhone: one number may be sent {limit} messages in {span}.",
    "prefix_limit": "customerPhone: one range of numbers may be sent {limit} messages in {span}.",
    "provider_limit": "You may send {limit} messages in {span}.",
}


class Guard:
    """Counts what is let in. Holding one means asking it of each new message, and telling it what became of it."""

    def __init__(
        self,
        settings: Settings,
        sealer: Sealer,
        velocity: Velocity,
        watch: Watch,
        quarantined: Refreshed[frozenset[tuple[str, bytes]]],
    ) -> None:
        """
        Args:
            settings: What holds where a provider has no rule of its own.
            sealer: Makes keyed hashes of numbers.
            velocity: What was let in.
            watch: Is told what was let in.
            quarantined: Provider and keyed hash of ranges that are not called.
        """
        self._number_limits = parse_number_limits(settings.number_limits)
        self._settings = settings
        self._sealer = sealer
        self._velocity = velocity
        self._watch = watch
        self._quarantined = quarantined
        self._taken: dict[str, tuple[Taken, Seen]] = {}

    def admit(self, row: NewMessage, number: PhoneNumber, owner: KeyOwner, now: float) -> None:
        """
        Let one message pass, and count it; *now* in seconds since 1970.

        Raises:
            Problem: 429, a limit is reached; with when to come again. 403, the range is in quarantine.
        """
        if owner.mode is Mode.TEST:
            return  # no phone rings, and nothing is spent
        rules = owner.rules
        shown = number.e164[:-RANGE_DIGITS] + _STARS
        prefix_key = self._sealer.destination_key(shown)
        if (owner.provider_id, prefix_key) in self._quarantined.value:
            raise _quarantined()
        asked = Asked(
            number=owner.provider_id.encode() + row.destination_key,
            prefix=f"{owner.provider_id}:{prefix_key.hex()}",
            provider=owner.provider_id,
            number_limits=self._number_limits if rules.number_limits is None else rules.number_limits,
            prefix_per_hour=_chosen(rules.prefix_per_hour, self._settings.prefix_per_hour),
            messages_per_minute=_chosen(rules.messages_per_minute, self._settings.messages_per_minute),
        )
        taken = self._velocity.take(asked, now)
        if isinstance(taken, Full):
            raise _refused(taken)
        self._taken[row.id] = (
            taken,
            Seen(
                at=now,
                id=row.id,
                provider_id=owner.provider_id,
                range_key=prefix_key,
                shown=shown,
                tail=int(number.e164[-RANGE_DIGITS:]),
                country=number.country,
                mode=rules.detection or self._settings.detection,
            ),
        )

    def stored(self, rows: Iterable[tuple[NewMessage, Accepted]]) -> None:
        """What became of messages that were let pass: a repeat of an earlier one counts for nothing."""
        for row, accepted in rows:
            known = self._taken.pop(row.id, None)
            if known is None:
                continue
            taken, seen = known
            if accepted.is_new:
                self._velocity.keep(taken)
                self._watch.saw(seen)
            else:
                self._velocity.give_back(taken)

    def withdraw(self, rows: Iterable[NewMessage]) -> None:
        """These were let pass, and are not stored all the same."""
        for row in rows:
            if (known := self._taken.pop(row.id, None)) is not None:
                self._velocity.give_back(known[0])


def _chosen(own: int | None, usual: int) -> int:
    return usual if own is None else own


def _quarantined() -> Problem:
    text = "this range of numbers is not called for now, as calls to it look like toll fraud; ask the operator"
    return Problem(
        "prefix_quarantined",
        f"customerPhone: {text}. Nothing was stored.",
        errors=[MemberError("customerPhone", text)],
    )


def _refused(full: Full) -> Problem:
    text = _WHOSE[full.code].format(limit=full.limit, span=_span(full.period_s))
    said = [] if full.code == "provider_limit" else [MemberError("customerPhone", text.partition(": ")[2])]
    text += f" Nothing was stored; send it again in {full.retry_after_s} s. An operator may allow more:"
    text += " `ringpost providers limits`."
    return Problem(full.code, text, errors=said, retry_after_s=full.retry_after_s)


def _span(period_s: int) -> str:
    size, unit = next((size, unit) for size, unit in _SPANS if period_s % size == 0)
    count = period_s // size
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"
