"""Time-ordered ids with a prefix that tells what they name (``msg_``, ``evt_``, ``ep_``, ``key_``, ``prov_``)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import uuid_utils

_LENGTH: Final = 26
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
#: Two digits for each ten bits: ``base64.b32hexencode`` takes twice the time, and every row has an id.
_PAIRS: Final = tuple(high + low for high in _DIGITS for low in _DIGITS)
#: The 128 bits of a UUID and two zeros behind them are thirteen times ten.
_SHIFTS: Final = tuple(range(120, -1, -10))


def new_id(prefix: str) -> str:
    """
    A new id such as ``msg_0CQT…``: a UUIDv7 in base32hex (RFC 4648), whose order is the order of creation.

    Args:
        prefix: What the id names, without the underscore.
    """
    return _named(prefix, uuid_utils.uuid7().int)


def first_id(prefix: str, moment: datetime) -> str:
    """The id that none made at *moment* or later lies below: a UUIDv7 begins with 48 bits of milliseconds."""
    return _named(prefix, max(int(moment.timestamp() * 1000), 0) << 80)


def _named(prefix: str, number: int) -> str:
    bits = number << 2
    return f"{prefix}_{''.join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])}"


def is_id(prefix: str, text: str) -> bool:
    """Whether *text* could be one of our ids; saves a query for what cannot be."""
    return re.fullmatch(rf"{prefix}_[0-9A-V]{{{_LENGTH}}}", text) is not None
