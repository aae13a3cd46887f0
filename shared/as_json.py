"""Values as JSON shows them: members in camelCase, times as the API writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from shared.times import rfc3339

#: Objects whose member names are the provider's or the feed's own.
_VERBATIM: Final = frozenset({"metadata", "facts"})


def json_of(value: Any) -> Any:
    """*value* made of what JSON knows; field names become camelCase and a final ``_s`` ``Seconds``."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {_camel(name): item if name in _VERBATIM else json_of(item) for name, item in value.items()}
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [json_of(item) for item in value]
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    if rest and rest[-1] == "s":
        rest[-1] = "seconds"
    return first + "".join(word.capitalize() for word in rest)
