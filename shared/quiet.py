"""When it is quiet where a phone is, and when that ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from shared.sending_rules import QuietHours

#: Countries of the numbering plans that the table of time zones lacks.
_OTHERS: Final = {
    "AC": ("Atlantic/St_Helena",),
    "TA": ("Atlantic/St_Helena",),
    "XK": ("Europe/Belgrade",),
}
_A_YEAR: Final = 2026
#: Where the zones of a country leave no hour that is quiet in none.
_MOST_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Quiet:
    """Why a call is not placed now: it is quiet where the phone is, until then or, where that is None, at all hours."""

    until: datetime | None


def at(now: datetime, hours: QuietHours | None, country: str) -> Quiet | None:
    """The quiet that forbids a call to *country* (ISO alpha-2) at *now*; None when nothing does."""
    if hours is None or (until := ends(now, hours, country)) == now:
        return None
    return Quiet(until)


def ends(at: datetime, hours: QuietHours, country: str) -> datetime | None:
    """
    When the quiet hours end that hold in any time zone of *country* (ISO alpha-2) at *at*.

    Returns:
        *at* itself when it is quiet nowhere there; None when it is quiet somewhere at all hours.
    """
    begun = at
    for _ in range(_MOST_STEPS):
        later = max(_end_in(zone, at, hours) for zone in zones_of(country))
        if later == at:
            return at
        if later - begun > timedelta(days=2):
            return None
        at = later
    return None


def _end_in(zone: tzinfo, at: datetime, hours: QuietHours) -> datetime:
    """The end of the quiet hours of one zone; *at* itself when it is not quiet there."""
    local = at.astimezone(zone)
    clock = local.time().replace(tzinfo=None)
    over_midnight = hours.end < hours.begin
    is_late, is_early = clock >= hours.begin, clock < hours.end
    is_quiet = is_late or is_early if over_midnight else is_late and is_early
    if not is_quiet:
        return at
    day = local.date() + timedelta(days=over_midnight and is_late)
    # By the zone's clock, which may be set forward or back in between; an hour may come twice.
    ends = [datetime.combine(day, hours.end.replace(fold=fold), tzinfo=zone).astimezone(at.tzinfo) for fold in (0, 1)]
    return next((end for end in ends if end > at), at)


@lru_cache(maxsize=300)
def zones_of(country: str) -> tuple[tzinfo, ...]:
    """Its time zones, one of those whose clocks agree; UTC where none is known."""
    names = _OTHERS.get(country) or _table().get(country, ())
    months = [datetime(_A_YEAR, month, 15, tzinfo=UTC) for month in range(1, 13)]
    found: dict[tuple[timedelta | None, ...], tzinfo] = {}
    for name in names:
        zone = ZoneInfo(name)
        found.setdefault(tuple(month.astimezone(zone).utcoffset() for month in months), zone)
    return tuple(found.values()) or (UTC,)


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, ...]]:
    """The table of the IANA time zone database: phonenumberslite comes without its own."""
    table: dict[str, tuple[str, ...]] = {}
    for line in (files("tzdata") / "zoneinfo" / "zone.tab").read_text().splitlines():
        if line and not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            table[country] = (*table.get(country, ()), name)
    return table
