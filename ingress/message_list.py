"""The query of GET /v1/messages: its members, their rules, and which page they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

import phonenumbers

from ingress import members
from ingress.problems import LONGEST_NAME, MOST_ERRORS, MemberError, invalid, unknown_member
from shared.db.queries.message_list import Place, Wanted
from shared.lifecycle import TYPES, Lane, Mode, Status
from shared.times import parse_time

_Word = TypeVar("_Word", bound=StrEnum)

_LIMIT: Final = 50
_MAX_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The page that was asked for."""

    wanted: Wanted
    limit: int
    after: Place | None


def read_query(query: Mapping[str, Sequence[str]], place_of: Callable[[str], Place | None]) -> ListQuery:
    """
    The page that *query* asks for.

    Args:
        query: The values of each member of the URL's query.
        place_of: Reads a cursor; None for one that was never given.

    Raises:
        Problem: 422, with everything that is wrong, member by member, without repeating any value.
    """
    errors = [
        MemberError(name[:LONGEST_NAME], unknown_member(name, _KNOWN, of="query"))
        for name in query
        if name not in _KNOWN
    ]
    readers: dict[str, Callable[[str], Any]] = {**_READERS, "after": partial(_place, place_of)}
    read: dict[str, Any] = {}
    for name, reader in readers.items():
        try:
            if name in query:
                read[name] = reader(_only(query[name]))
        except ValueError as error:
            errors.append(MemberError(name, str(error)))
    if not errors and "since" in read and "until" in read and read["since"] >= read["until"]:
        errors.append(MemberError("since", "must be before until"))
    if errors:
        raise invalid(errors[:MOST_ERRORS])
    limit, after = read.pop("limit", _LIMIT), read.pop("after", None)
    return ListQuery(Wanted(**{_FIELDS.get(name, name): value for name, value in read.items()}), limit, after)


def read_span(query: Mapping[str, Sequence[str]]) -> dict[str, datetime]:
    """
    ``since`` and ``until``, where *query* has them.

    Raises:
        Problem: 422, as :func:`read_query`'s; whatever else is asked is unknown.
    """
    return members.of_query(query, {"since": _moment, "until": _moment})


def _only(values: Sequence[str]) -> str:
    if len(values) > 1:
        raise ValueError("may stand once")
    return values[0]


def _words(kind: type[_Word], value: str) -> Sequence[_Word]:
    known = [word.value for word in kind]
    return [kind(word) for word in _listed(value, known, f"{', '.join(known)}; several with commas between")]


def _types(value: str) -> Sequence[Lane]:
    return [Lane(word) for word in _listed(value, TYPES, f"{', '.join(TYPES)}; several with commas between")]


def _mode(value: str) -> Mode:
    if value not in {*Mode}:
        raise ValueError(f"must be {' or '.join(Mode)}")
    return Mode(value)


def _countries(value: str) -> Sequence[str]:
    expected = "ISO alpha-2 country codes such as SG; several with commas between"
    return _listed(value.upper(), phonenumbers.SUPPORTED_REGIONS, expected)


def _listed(value: str, known: Iterable[str], expected: str) -> list[str]:
    words = value.split(",")
    if not set(words) <= set(known):
        raise ValueError(f"must be of {expected}")
    return list(dict.fromkeys(words))


def _last4(value: str) -> str:
    if not re.fullmatch("[0-9]{4}", value):
        raise ValueError("must be the last four digits of a phone number")
    return value


def _moment(value: str) -> datetime:
    # An offset's plus that was not written %2B arrives as a space; nothing else could stand there.
    return parse_time(re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", value))


def _limit(value: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", value) or not 1 <= int(value) <= _MAX_LIMIT:
        raise ValueError(f"must be a whole number from 1 to {_MAX_LIMIT}")
    return int(value)


def _place(place_of: Callable[[str], Place | None], value: str) -> Place:
    place = place_of(value)
    if place is None:
        raise ValueError("must be the next of an earlier page of yours, exactly as it was given")
    return place


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "status": partial(_words, Status),
    "type": _types,
    "mode": _mode,
    "country": _countries,
    "since": _moment,
    "until": _moment,
    "last4": _last4,
    "limit": _limit,
}
#: Where the query's word is not ours.
_FIELDS: Final = {"status": "statuses", "type": "lanes", "country": "countries", "last4": "ending"}
#: What turns pages, or names one message instead of a list.
PAGES: Final = ("limit", "after", "messageId")
#: Every member of GET /v1/messages; messageId asks for one message instead of a list.
_KNOWN: Final = (*_READERS, "after", "messageId")
