"""How routes ask PostgreSQL, and what they say where it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection

from ingress.problems import Problem
from ingress.site import Site
from shared.db.database import DatabaseAway

T = TypeVar("T")

#: A request is not held up for longer than this, in seconds: who asks can ask again.
_PATIENCE_S: Final = 0.5


def ask(site: Site, work: Callable[[Connection], T], *, alone: bool = False, patience_s: float = _PATIENCE_S) -> T:
    """
    What *work* makes of the database, in one transaction; *alone*: each statement commits by itself.

    Raises:
        Problem: 503, where PostgreSQL does not answer.
    """
    try:
        return site.services.database.run(work, patience_s=patience_s, alone=alone)
    except DatabaseAway:
        raise Problem("unavailable", "The database does not answer.", retry_after_s=1) from None
