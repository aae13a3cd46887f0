"""
Signing in. Whoever guesses is held back by address and by name, and an unknown name takes as long as a known one.

A name that is guessed at holds back only addresses that failed at it themselves: nobody can lock an operator out.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, g, redirect, render_template, request, url_for
from sqlalchemy import Connection, RowMapping
from werkzeug.wrappers import Response

from ingress.dashboard.sessions import Sessions, hash_of
from ingress.failures import Failures
from ingress.peer import client_ip
from shared import passwords
from shared.db.database import Database
from shared.db.queries import audit_log, operators
from shared.operators import check_name
from shared.passwords import Comparer
from shared.settings import Settings

#: Passwords compared at once, each taking 32 MiB; with those that wait for it, so few threads of the ingress are held.
_AT_ONCE: Final = 2
_HELD: Final = 6


class Refused(Exception):
    """Not let in; the text is for the page, and the same whatever was wrong."""

    def __init__(self, text: str, status: int, wait_s: float = 0) -> None:
        super().__init__(text)
        self.status = status
        self.wait_s = math.ceil(wait_s)


@dataclass(frozen=True, slots=True)
class Known:
    """An operator whose password was right, and its hash as it is kept now."""

    name: str
    password: str


class SignIn:
    """Compares names and passwords, for one ingress process."""

    def __init__(self, database: Database, settings: Settings, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions
        self._failures = Failures(settings.sign_in_failures_per_minute, counts=bool, event="sign_in_failed")
        self._passwords = Comparer()
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._held = threading.BoundedSemaphore(_HELD)

    def check(self, text: str, password: str, client: str) -> Known:
        """
        The operator who is called that and whose password it is.

        Raises:
            Refused: There is none, or the address or the name has failed too often.
        """
        try:
            name = check_name(text)
        except ValueError:
            name = ""
        self._hold_back(client, name)
        if not self._held.acquire(blocking=False):
            raise Refused("Too many are signing in. Try again in a moment.", 429, 1)
        try:
            with self._places:
                self._hold_back(client, name)  # others of the same address may have failed meanwhile
                return self._compared(name, password, client)
        finally:
            self._held.release()

    def _hold_back(self, client: str, name: str) -> None:
        if wait_s := self._failures.wait_s(client, name):
            raise Refused("Too many tries failed. Wait a while.", 429, wait_s)

    def _compared(self, name: str, password: str, client: str) -> Known:
        row = self._database.run(lambda c: operators.find(c, name), alone=True)
        kept = None if row is None or row["disabled_at"] is not None else str(row["password"])
        if not self._passwords.fits(password, kept) or kept is None:
            self._fail(client, name, row)
            raise Refused("The name or the password is wrong.", 401)
        return Known(name, self._renewed(name, password, kept))

    def open(self, known: Known, client: str, old_token: str) -> None:
        """
        Begin a session with a new token and end the one before.

        Raises:
            Refused: The password was changed, or the operator disabled, in between.
        """
        token = self._sessions.begin()

        def work(connection: Connection) -> bool:
            operators.end_session(connection, hash_of(old_token))
            operators.forget_lapsed(connection, self._sessions.lifetimes)
            if not operators.open_session(connection, known.name, known.password, hash_of(token)):
                return False
            audit_log.note(connection, known.name, "operator.sign_in", client)
            return True

        if not self._database.run(work):
            raise Refused("The name or the password is wrong.", 401)

    def _fail(self, client: str, name: str, row: RowMapping | None) -> None:
        """What was given for a name that there is not may be a password: it is not kept."""
        self._failures.note(client, name)
        reason = "unknown name" if row is None else "disabled" if row["disabled_at"] is not None else "wrong password"
        actor = "unknown" if row is None else row["name"]
        self._database.run(
            lambda c: audit_log.note(c, actor, "operator.sign_in_failed", client, after={"reason": reason})
        )

    def _renewed(self, name: str, password: str, kept: str) -> str:
        if not passwords.is_dated(kept):
            return kept
        new = passwords.hashed(password)
        self._database.run(lambda c: operators.rehash(c, name, kept, new))
        return new


def sign_in_pages(sign_in: SignIn) -> Blueprint:
    """GET and POST /dashboard/sign-in."""
    routes = Blueprint("sign_in", __name__)

    @routes.get("/sign-in", endpoint="form")
    def form() -> Response | str:
        if g.visitor.operator is not None:
            return redirect(url_for("now.now"), 303)
        return render_template("sign_in.html", why=None)

    @routes.post("/sign-in", endpoint="sign_in")
    def enter() -> Response | tuple[str, int, dict[str, str]]:
        client = client_ip(request)
        try:
            known = sign_in.check(request.form.get("name", ""), request.form.get("password", ""), client)
            sign_in.open(known, client, g.visitor.token)
        except Refused as refused:
            g.pop("new_token", None)
            headers = {"Retry-After": str(refused.wait_s)} if refused.wait_s else {}
            return render_template("sign_in.html", why=str(refused)), refused.status, headers
        return redirect(url_for("now.now"), 303)

    return routes
