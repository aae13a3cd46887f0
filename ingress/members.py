"""The members of a query or of a body, each by its own reader; every fault is named, no value repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ingress.problems import LONGEST_NAME, MOST_ERRORS, MemberError, invalid, unknown_member
from shared.times import parse_time

#: Says what a value means; raises ValueError with what was expected.
Reader = Callable[[Any], Any]

_MAX_LIMIT: Final = 200


def of_query(query: Mapping[str, Sequence[str]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """
    What a URL's query says; members that do not stand there are left out.

    Args:
        query: The values of each member.
        readers: By the names that may stand there.

    Raises:
        Problem: 422.
    """
    return _read({name: list(values) for name, values in query.items()}, _once(readers), of="query")


def of_body(body: Any, readers: Mapping[str, Reader], required: Sequence[str] = ()) -> dict[str, Any]:
    """
    What the members of a JSON object say; those that are null or not there are left out.

    Raises:
        Problem: 422.
    """
    if not isinstance(body, dict):
        raise invalid([MemberError("", "the body must be a JSON object")])
    said = {name: value for name, value in body.items() if value is not None or name not in readers}
    lacking = [MemberError(name, "is required") for name in required if name not in said]
    return _read(said, readers, of="request", errors=lacking)


def _read(
    said: Mapping[str, Any], readers: Mapping[str, Reader], *, of: str, errors: Sequence[MemberError] = ()
) -> dict[str, Any]:
    wrong = [
        MemberError(name[:LONGEST_NAME], unknown_member(name, tuple(readers), of=of))
        for name in said
        if name not in readers
    ]
    read: dict[str, Any] = {}
    for name, reader in readers.items():
        try:
            if name in said:
                read[name] = reader(said[name])
        except ValueError as error:
            wrong.append(MemberError(name, str(error)))
    if wrong or errors:
        raise invalid([*wrong, *errors][:MOST_ERRORS])
    return read


def _once(readers: Mapping[str, Reader]) -> dict[str, Reader]:
    def once(reader: Reader) -> Reader:
        def read(values: Sequence[str]) -> Any:
            if len(values) > 1:
                raise ValueError("may stand once")
            return reader(values[0])

        return read

    return {name: once(reader) for name, reader in readers.items()}


def number(smallest: int, largest: int) -> Reader:
    """Reads a whole number in digits, within bounds."""

    def read(value: str) -> int:
        digits = len(str(largest))
        if not re.fullmatch(f"[0-9]{{1,{digits}}}", value) or not smallest <= int(value) <= largest:
            raise ValueError(f"must be a whole number from {smallest} to {largest}")
        return int(value)

    return read


#: How many on a page.
limit: Final = number(1, _MAX_LIMIT)


def moment(value: Any) -> datetime:
    """Reads a time."""
    return parse_time(value if isinstance(value, str) else "")


def flag(value: Any) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004  a reader's one way to refuse
    return value
