"""
Sessions of the dashboard: a random token in a cookie, of which PostgreSQL knows the hash.

The cookie's name makes a browser refuse it from anywhere but this host over https; Chromium and Firefox take plain
http to this machine itself for as good. Who is not signed in has a token, too, which opens nothing: forms are bound
to it. Signing in gives another.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from flask import Request, Response, g
from sqlalchemy import Connection

from shared.db.database import Database
from shared.db.queries import operators
from shared.db.queries.operators import Lifetimes
from shared.operators import Role
from shared.settings import Settings

COOKIE: Final = "__Host-ringpost"
_TOKEN_BYTES: Final = 32
_LONGEST_TOKEN: Final = 64


@dataclass(frozen=True, slots=True)
class Operator:
    """Whose session it is."""

    operator_id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a request: a token, and the operator whose session it is, if it is anybody's."""

    token: str
    operator: Operator | None = None


def hash_of(token: str) -> bytes:
    """What is stored of a token. It is random and long: no slow hash is needed."""
    return hashlib.sha256(token.encode()).digest()


def csrf_of(token: str) -> str:
    """What a form must bring along, which only pages of that very session hold."""
    return urlsafe_b64encode(hashlib.sha256(b"csrf " + token.encode()).digest()).decode().rstrip("=")


class Sessions:
    """Those of the operators, as this process sees them: it keeps none, so that what has ended is over at once."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.lifetimes: Final = Lifetimes(settings.session_idle_seconds, settings.session_longest_seconds)

    def visitor(self, request: Request) -> Visitor:
        """Who sent the request; one without a usable cookie is given another token."""
        token = request.cookies.get(COOKIE, "")
        if not token or len(token) > _LONGEST_TOKEN or not token.isascii():
            return Visitor(self.begin())
        found = self._database.run(lambda c: operators.use_session(c, hash_of(token), self.lifetimes), alone=True)
        if found is None:
            return Visitor(token)
        return Visitor(token, Operator(found["operator_id"], found["name"], Role(found["role"])))

    @staticmethod
    def begin() -> str:
        """A new token, which the answer gives to the browser."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        g.new_token = token
        return token

    @staticmethod
    def give(response: Response) -> Response:
        """Set the cookie where there is a new token; it is gone when the browser is closed."""
        if token := g.get("new_token"):
            response.set_cookie(COOKIE, token, secure=True, httponly=True, samesite="Lax", path="/")
        return response

    def end(self, visitor: Visitor, *, everywhere: bool) -> None:
        """Sign out: here, or wherever the operator is signed in."""

        def work(connection: Connection) -> None:
            if everywhere and visitor.operator is not None:
                operators.end_sessions(connection, visitor.operator.operator_id)
            operators.end_session(connection, hash_of(visitor.token))

        self._database.run(work)
        self.begin()
