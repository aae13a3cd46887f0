"""
Texts and numbers under lock: AES-256-GCM before SQL sees them, keyed hashes where equality is all that is needed.

A bare hash of a phone number or a six-digit code is undone by trying them all; a keyed one is not.
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

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_HASH_BYTES: Final = 16


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


class Sealer:
    """Holding one means holding the data key: whoever has it can read every stored text."""

    def __init__(self, data_key: str) -> None:
        """
        Args:
            data_key: 32 bytes in base64, the setting ``RINGPOST_DATA_KEY``.
        """
        master = base64.b64decode(data_key)
        self._cipher = AESGCM(_derive(master, b"seal"))
        self._destinations = hmac.new(_derive(master, b"destination"), digestmod=hashlib.sha256)
        self._requests = hmac.new(_derive(master, b"request"), digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, plain: bytes, *, row: str) -> bytes:
        """*plain* encrypted, readable again only together with the same *row* name."""
        nonce = _nonce()
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, row.encode())

    def unseal(self, sealed: bytes, *, row: str) -> bytes:
        """
        What :meth:`seal` was given.

        Raises:
            Unsealable: Altered, cut, of another row, or sealed with another key.
        """
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION:
            raise Unsealable("unknown version")
        try:
            return self._cipher.decrypt(nonce, body, row.encode())
        except (InvalidTag, ValueError):
            raise Unsealable("altered, of another row, or sealed with another key") from None

    def destination_key(self, e164: str) -> bytes:
        """Sixteen bytes that are equal for equal numbers and say nothing else."""
        return _keyed(self._destinations, e164.encode())

    def fingerprint(self, request: bytes) -> bytes:
        """Sixteen bytes that are equal for equal requests and say nothing else."""
        return _keyed(self._requests, request)


def _derive(master: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=_KEY_BYTES, info=b"ringpost " + purpose).derive(master)


def _keyed(begun: hmac.HMAC, value: bytes) -> bytes:
    """The hash of *value*; *begun* has taken in the key. ``hmac.digest`` would give the interpreter away each time."""
    keyed = begun.copy()
    keyed.update(value)
    return keyed.digest()[:_HASH_BYTES]
