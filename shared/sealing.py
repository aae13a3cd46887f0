"""
Texts and numbers under lock: AES-256-GCM before SQL sees them, keyed hashes where equality is all that is needed.

A bare hash of a phone number or a six-digit code is undone by trying them all; a keyed one is not.

A data key seals, and hashes. The first one of an installation is 32 bytes, from which both are derived. A key that
follows another carries the hashing keys of the first along, 64 bytes more: rows hold hashes of numbers that are erased
and can never be hashed anew, and two keys with hashes of their own would make two phones of one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections import deque
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_FIRST: Final = b"\x01"  # sealed with a key that followed no other
_NAMED: Final = b"\x02"  # followed by the name of the key
_NAME_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_HASH_BYTES: Final = 16
#: Of a first data key, and of one that follows another.
DATA_KEY_BYTES: Final = (_KEY_BYTES, 3 * _KEY_BYTES)

#: Random bytes for so many nonces are fetched at once: the kernel call gives the interpreter away to other threads.
_NONCES_AT_ONCE: Final = 256
_nonces: deque[bytes] = deque()
# Two processes must never share what is left: the same nonce twice would betray both texts.
os.register_at_fork(after_in_child=_nonces.clear)


def _nonce() -> bytes:
    while True:
        try:
            return _nonces.pop()
        except IndexError:
            drawn = os.urandom(_NONCES_AT_ONCE * _NONCE_BYTES)
            _nonces.extend(drawn[at : at + _NONCE_BYTES] for at in range(0, len(drawn), _NONCE_BYTES))


class Unsealable(Exception):
    """The sealed bytes are not ours, were altered, or belong to another row: nothing can be read from them."""


class Unopened(Unsealable):
    """Sealed with a data key that is not held here; whoever holds it can still read it."""


class _DataKey:
    """One data key: what it seals with, and what it hashes with."""

    def __init__(self, text: str) -> None:
        raw = base64.b64decode(text)
        if len(raw) not in DATA_KEY_BYTES:
            raise ValueError("needs 32 or 96 bytes in base64")
        master, carried = raw[:_KEY_BYTES], raw[_KEY_BYTES:]
        self.cipher = AESGCM(_derive(master, b"seal"))
        self.header = _NAMED + _derive(master, b"name")[:_NAME_BYTES] if carried else _FIRST
        self.hashing = carried or _derive(master, b"destination") + _derive(master, b"request")


class Sealer:
    """Holding one means holding the data keys: whoever has them can read every stored text."""

    def __init__(self, data_key: str, *others: str) -> None:
        """
        Args:
            data_key: Seals, and hashes; base64, the setting ``RINGPOST_DATA_KEY``.
            others: Open what they sealed, too: ``RINGPOST_DATA_KEY_OLD``.
        """
        newest = _DataKey(data_key)
        self._cipher = newest.cipher
        self.header: Final = newest.header  # what everything begins with that the data key sealed
        self._ciphers = {key.header: key.cipher for key in (*map(_DataKey, others), newest)}
        hashing = newest.hashing
        self._destinations = hmac.new(hashing[:_KEY_BYTES], digestmod=hashlib.sha256)
        self._requests = hmac.new(hashing[_KEY_BYTES:], digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, plain: bytes, *, row: str) -> bytes:
        """*plain* encrypted, readable again only together with the same *row* name."""
        nonce = _nonce()
        return self.header + nonce + self._cipher.encrypt(nonce, plain, row.encode())

    def unseal(self, sealed: bytes, *, row: str) -> bytes:
        """
        What :meth:`seal` was given.

        Raises:
            Unopened: It names a key that is not held here.
            Unsealable: Altered, cut, of another row, or sealed with another first key.
        """
        header = sealed[: 1 + _NAME_BYTES] if sealed[:1] == _NAMED else sealed[:1]
        cipher = self._ciphers.get(header)
        if cipher is None and sealed[:1] not in (_FIRST, _NAMED):
            raise Unsealable("nothing that was sealed here")
        if cipher is None:
            raise Unopened("sealed with a key that is not held here")
        nonce, body = sealed[len(header) :][:_NONCE_BYTES], sealed[len(header) + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, body, row.encode())
        except (InvalidTag, ValueError):
            raise Unsealable("altered, of another row, or sealed with another key") from None

    def destination_key(self, e164: str) -> bytes:
        """Sixteen bytes that are equal for equal numbers and say nothing else."""
        return _keyed(self._destinations, e164.encode())

    def fingerprint(self, request: bytes) -> bytes:
        """Sixteen bytes that are equal for equal requests and say nothing else."""
        return _keyed(self._requests, request)


def next_data_key(data_key: str) -> str:
    """A new key to follow *data_key*: another lock, and the same hashes. Base64."""
    following = os.urandom(_KEY_BYTES) + _DataKey(data_key).hashing
    return base64.b64encode(following).decode()


def hash_alike(data_key: str, other: str) -> bool:
    """Whether two data keys give a number the same hash, as those that follow each other do."""
    return hmac.compare_digest(_DataKey(data_key).hashing, _DataKey(other).hashing)


def _derive(master: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=_KEY_BYTES, info=b"ringpost " + purpose).derive(master)


def _keyed(begun: hmac.HMAC, value: bytes) -> bytes:
    """The hash of *value*; *begun* has taken in the key. ``hmac.digest`` would give the interpreter away each time."""
    keyed = begun.copy()
    keyed.update(value)
    return keyed.digest()[:_HASH_BYTES]
