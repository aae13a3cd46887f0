"""8x8's codes as metrics tell them apart: the listed ones, and few words for all others. Pure."""

from __future__ import annotations

from typing import Final

from shared.voice_api.codes import ERROR_RULES, REPLY_RULES, STATUS_RULES

#: What 8x8 says of a call that it placed.
_FINE: Final = (0, 1)
_LISTED: Final = frozenset({*_FINE, *REPLY_RULES, *STATUS_RULES, *ERROR_RULES})


def code_label(code: int | None) -> str:
    """A listed code as it is, another HTTP status as its class, ``other``, and ``none`` where there is no code."""
    if code is None:
        return "none"
    if code in _LISTED:
        return str(code)
    return f"{code // 100}xx" if 100 <= code < 600 else "other"
