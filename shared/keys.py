"""API keys: how they are made, and what is kept of them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from shared.ids import new_id
from shared.lifecycle import Mode

#: Keys of a mode that a provider may have at once: the one in use, and the one that is to follow it.
MOST_KEYS: Final = 2
LONGEST_NAME: Final = 64
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key; the secret is shown once and nowhere kept."""

    key_id: str
    secret: str = field(repr=False)
    secret_hash: bytes = field(repr=False)


def make(mode: Mode) -> MadeKey:
    """A key with 256 random bits, whose secret begins with ``rp_live_`` or ``rp_test_``, so that scanners find it."""
    secret = f"rp_{mode}_{secrets.token_urlsafe(_RANDOM_BYTES)}"
    return MadeKey(new_id("key"), secret, digest(secret))


def digest(secret: str) -> bytes:
    """What is kept of a secret. 256 random bits cannot be guessed; a slow hash is for what people choose."""
    return hashlib.sha256(secret.encode()).digest()


def check_name(name: str) -> str:
    """
    A key's name as it is stored.

    Raises:
        ValueError: It is empty, long, or holds what cannot be shown.
    """
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or not name.strip():
        raise ValueError(f"must have 1 to {LONGEST_NAME} printable characters")
    return name.strip()
