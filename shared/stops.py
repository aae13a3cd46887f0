"""
What operators have stopped, and whether that covers a message. Pure.

A *stop* is a kill switch: while it stands, no call that it covers is placed, and no such message is taken in (of a
lane they are, and wait).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import phonenumbers

from shared.lifecycle import Lane


class Scope(StrEnum):
    """What a stop covers, the widest first."""

    GLOBAL = "global"
    LANE = "lane"
    PROVIDER = "provider"
    SOURCE = "source"
    COUNTRY = "country"
    PREFIX = "prefix"


#: What waits under these is put out of the claim's way, one by one: no column of the queue's index tells them apart.
HELD: Final = frozenset({Scope.SOURCE, Scope.COUNTRY, Scope.PREFIX})

_BREADTH: Final = {scope: place for place, scope in enumerate(Scope)}
_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,7}")
_SOURCE: Final = re.compile(r"\+[1-9][0-9]{2,14}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_FILLER: Final = str.maketrans("", "", " ().-")


@dataclass(frozen=True, slots=True)
class Stop:
    """One switch that is thrown; *name* is empty for the global one."""

    scope: Scope
    name: str
    until: datetime | None = None  # it ends by itself then

    @property
    def words(self) -> str:
        """As an operator types it: ``country FR``."""
        return f"{self.scope} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Called:
    """What a stop is compared with: one message and the phone that it would ring."""

    provider_id: str
    lane: str
    source: str
    country: str
    number: str = field(repr=False)  # E.164


def covers(stop: Stop, called: Called) -> bool:
    """Whether *stop* forbids the call."""
    if stop.scope is Scope.PREFIX:
        return called.number.startswith(stop.name)
    return stop.scope is Scope.GLOBAL or stop.name == {
        Scope.LANE: called.lane,
        Scope.PROVIDER: called.provider_id,
        Scope.SOURCE: called.source,
        Scope.COUNTRY: called.country,
    }.get(stop.scope)


def covering(stops: Iterable[Stop], called: Called) -> Stop | None:
    """The widest stop that forbids the call; of equals the first by name. None when nothing does."""
    return min(
        (stop for stop in stops if covers(stop, called)),
        key=lambda stop: (_BREADTH[stop.scope], stop.name),
        default=None,
    )


def name_of(scope: Scope, text: str | None) -> str:
    """
    The name of a stop as it is kept: a prefix and a caller id as ``+`` and digits, a country in capitals.

    Raises:
        ValueError: *text* is none of that scope; the sentence says what it should be.
    """
    if scope is Scope.GLOBAL:
        if text:
            raise ValueError("global takes no NAME: it stops everything")
        return ""
    if not text or not text.strip():
        raise ValueError(f"{scope} needs a NAME")
    text = text.strip()
    if scope is Scope.LANE and text not in frozenset(Lane):
        raise ValueError(f"a lane is one of {', '.join(Lane)}")
    if scope is Scope.COUNTRY:
        text = text.upper()
        if not _COUNTRY.fullmatch(text):
            raise ValueError("a country is an ISO 3166 code such as SG")
        if text not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{text} is no country that can be called")
    if scope in (Scope.PREFIX, Scope.SOURCE):
        text = "+" + text.translate(_FILLER).lstrip("+")
        pattern, example = (_PREFIX, "+2357012") if scope is Scope.PREFIX else (_SOURCE, "+6531580001")
        if not pattern.fullmatch(text):
            most = ", eight at most (of one number, `ringpost suppressions`)" if scope is Scope.PREFIX else ""
            raise ValueError(f"a {scope} is a plus and digits with the country code{most}, such as {example}")
    return text
