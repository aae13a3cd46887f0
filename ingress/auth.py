"""Who is asking: providers by their keys, 8x8 by the webhook secret. Every comparison takes the same time."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import math
from dataclasses import replace
from typing import Final

from flask import Request

from ingress.cache import Refreshed, Remembered
from ingress.failures import Failures
from ingress.peer import client_ip
from ingress.problems import Problem
from shared.db.database import Database
from shared.db.queries import keys, providers
from shared.db.queries.providers import KeyOwner
from shared.ids import is_id
from shared.keys import digest
from shared.settings import Settings

#: A revoked key is refused everywhere within this time, in seconds.
_KEY_MEMORY_S: Final = 2
_NOBODY: Final = digest("nobody")
_LEGACY_USER: Final = "admin"
#: The last use of keys is noted this often, in seconds, and never while a request waits.
_NOTE_S: Final = 60


class ProviderAuth:
    """Tells which provider a request comes from, by Basic ``keyId:secret`` or Bearer ``keyId:secret``."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._owners = Remembered(
            lambda key_id: database.run(lambda c: providers.owner_of_key(c, key_id), alone=True, patience_s=0.5),
            for_s=_KEY_MEMORY_S,
        )
        self._legacy = Remembered(lambda _: database.run(providers.legacy_owner, patience_s=0.5), for_s=_KEY_MEMORY_S)
        self._legacy_hash = digest(settings.webhook_auth_token.get_secret_value())
        self._accepts_legacy = settings.legacy_admin_auth
        self._failures = Failures(settings.auth_failures_per_minute)
        self._used: dict[str, bytes] = {}  # since it was last noted: key id -> hash of the secret that fitted
        self._proven: dict[str, bytes] = {}  # the same of before, until it fits no more
        self._noting = Refreshed("keys-used", self.note_use, None, every_s=_NOTE_S)

    def close(self) -> None:
        """End the thread that notes the keys' use."""
        self._noting.close()

    def owner(self, request: Request) -> KeyOwner:
        """
        The provider behind the request.

        Raises:
            Problem: 401, alike for a missing, malformed, unknown, wrong, expired and revoked key; 429, unread, for
                whoever failed too often.
        """
        key_id, secret = _credentials(request.environ.get("HTTP_AUTHORIZATION", ""))
        offered = digest(secret)
        if self._failures.last_at is not None:
            self._hold_back(request, key_id, offered)
        owner = self._find(key_id)
        # The same work whether there is such a key or not.
        fits = hmac.compare_digest(offered, _NOBODY if owner is None else owner.secret_hash)
        if owner is None or not fits:
            self._failures.note(client_ip(request), key_id)
            if self._is_proven(key_id, offered):
                self._used.pop(key_id, None)
                self._proven.pop(key_id, None)
            raise _refused()
        self._used[key_id] = offered
        return owner

    def note_use(self) -> None:
        """Write down which keys were used since the last time."""
        given, self._used = self._used, {}
        used = dict(given)  # a request may hold the old one still
        self._proven |= used
        if used:
            self._database.run(lambda connection: keys.note_use(connection, used.keys()))

    def _find(self, key_id: str) -> KeyOwner | None:
        if self._accepts_legacy and key_id == _LEGACY_USER:
            legacy = self._legacy.get(key_id)
            return legacy and replace(legacy, secret_hash=self._legacy_hash)
        return self._owners.get(key_id) if is_id("key", key_id) else None

    def _hold_back(self, request: Request, key_id: str, offered: bytes) -> None:
        """Before any look-up. Whoever shares an address with a guesser goes on with the secret that fitted before."""
        wait_s = self._failures.wait_s(client_ip(request), key_id)
        if wait_s and not self._is_proven(key_id, offered):
            raise Problem(
                "too_many_failures",
                "Too many logins failed from this address or with this key.",
                retry_after_s=math.ceil(wait_s),
            )

    def _is_proven(self, key_id: str, offered: bytes) -> bool:
        known = self._used.get(key_id) or self._proven.get(key_id) or _NOBODY
        return hmac.compare_digest(offered, known)


def _refused() -> Problem:
    return Problem("unauthorized", "Authenticate with Basic or Bearer keyId:secret.")


def _credentials(header: str) -> tuple[str, str]:
    """Key id and secret (RFC 7617; the Bearer token is the same pair unencoded, or in base64); empty if none."""
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and ":" in token:
        key_id, _, secret = token.partition(":")
        return key_id, secret
    if scheme.lower() not in ("basic", "bearer"):
        return "", ""
    try:
        pair = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    key_id, _, secret = pair.partition(":")
    return key_id, secret


class WebhookAuth:
    """Tells whether a webhook comes from 8x8, which sends one static header and signs nothing."""

    def __init__(self, settings: Settings) -> None:
        secrets = [settings.webhook_auth_token, settings.webhook_auth_token_old]
        self._secrets = [secret.get_secret_value().encode() for secret in secrets if secret is not None]
        self._networks = settings.webhook_networks

    def check(self, request: Request) -> None:
        """
        Let a genuine webhook pass: the header is the secret itself, or Bearer with it, or Basic with it as password.

        Raises:
            Problem: 401.
        """
        fits = False
        for offered in _offered(request.headers.get("Authorization", "")):
            for secret in self._secrets:
                fits |= hmac.compare_digest(offered, secret)
        if not fits or not self._comes_from_8x8(request):
            raise Problem("unauthorized", "This webhook does not carry the secret that was registered with 8x8.")

    def _comes_from_8x8(self, request: Request) -> bool:
        if not self._networks:
            return True
        try:
            address = ipaddress.ip_address(request.remote_addr or "")
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped  # an IPv4 peer of a socket that takes both
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _offered(header: str) -> list[bytes]:
    """Every reading of the header under which it may hold the secret."""
    readings = [header]
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer":
        readings.append(token.strip())
    if scheme.lower() == "basic":
        readings.append(_credentials(header)[1])
    return [reading.encode() for reading in readings]
