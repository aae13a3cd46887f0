"""Which messages a drill sends: the same for the same seed, so that every process can work them out. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Shares of phones that do not simply listen, by the simulator's suffixes.
MIXED: Final[Mapping[str, float]] = {
    "0001": 0.02,  # busy
    "0002": 0.02,  # no answer
    "0003": 0.03,  # failed
    "0004": 0.01,  # canceled
    "0007": 0.01,  # hangs up at once
    "0008": 0.02,  # presses a key when asked
    "0011": 0.02,  # busy, then completed
    "0012": 0.01,  # no answer, then completed
}
_ASKED: Final = "0008"
_LANES: Final = ("otp", "otp", "otp", "alert", "notification")
#: Blocks of German mobile numbers: no other drill and no test has them.
_PREFIXES: Final = ("+49151", "+49152", "+49157", "+49159", "+49162", "+49163", "+49170", "+49171")
_BLOCK: Final = 9000
_FIRST: Final = 1000  # above every suffix that means something
#: How many messages a stage can send before numbers repeat.
MOST: Final = _BLOCK * len(_PREFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """So many messages with ids ``prefix-N``, whose numbers follow ``first`` and are nobody else's."""

    prefix: str
    first: int
    count: int
    seed: int
    ttl_s: int = 20
    is_mixed: bool = True  # False: everybody listens, and every message is an OTP
    text: str = "Code 4, 0, 7."

    def messages(self) -> list[dict[str, Any]]:
        """Every message as its request's body."""
        luck = random.Random(self.seed)  # noqa: S311  a drill repeats
        return [self._message(place, luck.random()) for place in range(self.count)]

    def _message(self, place: int, chance: float) -> dict[str, Any]:
        suffix = _suffix(chance) if self.is_mixed else None
        body = {
            "messageId": f"{self.prefix}-{place:05d}",
            "customerPhone": _number(self.first + place, suffix),
            "message": self.text,
            "type": _LANES[place % len(_LANES)] if self.is_mixed else "otp",
            "ttlSeconds": self.ttl_s,
        }
        return body | ({"interruptible": True} if suffix == _ASKED else {})


def _suffix(chance: float) -> str | None:
    """What this phone does; None for a listener."""
    for suffix, share in MIXED.items():
        if chance < share:
            return suffix
        chance -= share
    return None


def _number(place: int, suffix: str | None) -> str:
    block, rest = divmod(place, _BLOCK)
    own = _FIRST + rest
    return f"{_PREFIXES[block]}{_FIRST}{own}" if suffix is None else f"{_PREFIXES[block]}{own}{suffix}"
