"""What an operator lets one provider send: how much, to whom, when. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time
from typing import Final

#: Of one number: so many messages in so many seconds.
Limit = tuple[int, int]

#: How the operator has sequences looked at.
DETECTIONS: Final = ("usual", "strict", "off")

_LIMIT: Final = re.compile(r"([0-9]{1,4})/([0-9]{1,6})")
_MOST_A_NUMBER: Final = 1000
_LONGEST_S: Final = 604_800
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From *begin* to *end* on the clock of who is called, over midnight where *end* is the earlier one."""

    begin: time
    end: time


@dataclass(frozen=True, slots=True)
class SendingRules:
    """What holds for one provider; None: the setting's."""

    number_limits: tuple[Limit, ...] | None = None
    messages_per_minute: int | None = None
    prefix_per_hour: int | None = None
    quiet_hours: QuietHours | None = None  # none: never quiet
    quiet_alerts: bool = False  # alerts keep the quiet hours as notifications do
    detection: str | None = None


#: Nothing but the settings.
NO_RULES: Final = SendingRules()


def parse_number_limits(text: str) -> tuple[Limit, ...]:
    """
    Limits out of ``3/600,10/86400``; none out of an empty text.

    Raises:
        ValueError: It is written otherwise.
    """
    found = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        matched = _LIMIT.fullmatch(word)
        count, seconds = (int(matched[1]), int(matched[2])) if matched else (0, 0)
        if not 1 <= count <= _MOST_A_NUMBER or not 1 <= seconds <= _LONGEST_S:
            raise ValueError(
                f"needs count/seconds such as 3/600,10/86400, counts to {_MOST_A_NUMBER}, seconds to {_LONGEST_S}"
            )
        found.append((count, seconds))
    return tuple(found)


def parse_quiet_hours(text: str) -> QuietHours:
    """
    Quiet hours out of ``22:00-08:00``.

    Raises:
        ValueError: It is written otherwise, or they take no time at all.
    """
    found = _HOURS.fullmatch(text.strip())
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise ValueError("needs two different times such as 22:00-08:00")
    return QuietHours(time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4])))


def written(hours: QuietHours | None) -> str | None:
    """Quiet hours as :func:`parse_quiet_hours` reads them."""
    return None if hours is None else f"{hours.begin:%H:%M}-{hours.end:%H:%M}"
