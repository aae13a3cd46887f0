"""
Passwords as they are kept: scrypt, with salt and parameters beside the hash.

Source: RFC 7914; OWASP's Password Storage Cheat Sheet, whose N=2^15, r=8, p=3 takes 32 MiB and a third of a second
where N=2^17 would take 128 MiB of an ingress that has other work.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from shared.operators import normal

_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_MOST_MEMORY: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """scrypt's parameters: memory is 128 * r * 2^log_n bytes, time that times p."""

    log_n: int
    r: int
    p: int


#: What new hashes are made with. When it changes, each operator's is made anew when they next sign in.
COST: Final = Cost(15, 8, 3)


def hashed(password: str, cost: Cost | None = None) -> str:
    """What to keep of a password."""
    salt, cost = secrets.token_bytes(_SALT_BYTES), cost or COST
    parts = (_text(salt), _text(_scrypt(password, salt, cost)))
    return "$".join(("scrypt", str(cost.log_n), str(cost.r), str(cost.p), *parts))


def is_dated(kept: str) -> bool:
    """Whether it was made with other parameters than today's."""
    return _parsed(kept)[0] != COST


class Comparer:
    """Compares passwords with what is kept, at the same price whether there is anything or not."""

    def __init__(self) -> None:
        self._nobodys = hashed(secrets.token_urlsafe())

    def fits(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; without one to compare with, False in the time that comparing takes."""
        cost, salt, expected = _parsed(kept or self._nobodys)
        return hmac.compare_digest(_scrypt(password, salt, cost), expected) and kept is not None


def _parsed(kept: str) -> tuple[Cost, bytes, bytes]:
    kind, log_n, r, p, salt, digest = kept.split("$")
    if kind != "scrypt":
        raise ValueError("a password was hashed by something else than scrypt")
    return Cost(int(log_n), int(r), int(p)), b64decode(salt), b64decode(digest)


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    return hashlib.scrypt(
        normal(password).encode(errors="surrogatepass"),
        salt=salt,
        n=1 << cost.log_n,
        r=cost.r,
        p=cost.p,
        maxmem=_MOST_MEMORY,
        dklen=_HASH_BYTES,
    )


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
