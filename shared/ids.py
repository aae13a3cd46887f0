"""Time-ordered ids with a prefix that tells what they name (``msg_``, ``evt_``, ``ep_``, ``key_``, ``prov_``)."""

from __future__ import annotations

import base64
import re
from typing import Final

import uuid_utils

_LENGTH: Final = 26


def new_id(prefix: str) -> str:
    """
    A new id such as ``msg_0CQT…``: a UUIDv7 in base32hex (RFC 4648), whose order is the order of creation.

    Args:
        prefix: What the id names, without the underscore.
    """
    return f"{prefix}_{base64.b32hexencode(uuid_utils.uuid7().bytes)[:_LENGTH].decode()}"


def is_id(prefix: str, text: str) -> bool:
    """Whether *text* could be one of our ids; saves a query for what cannot be."""
    return re.fullmatch(rf"{prefix}_[0-9A-V]{{{_LENGTH}}}", text) is not None
