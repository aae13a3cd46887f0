"""A provider, or an operator, takes a message back before anybody has begun to dial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from shared.db.queries import moves
from shared.lifecycle import Event, Lane, Move, Status
from shared.reasons import Reason

_FIND: Final = text("""
SELECT status, reason FROM messages
WHERE id = :id AND provider_id = :provider_id AND (lane = :test OR NOT :tests_only) FOR NO KEY UPDATE
""")

_FIND_ANY: Final = text("SELECT status, reason FROM messages WHERE id = :id FOR NO KEY UPDATE")


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Where a message stood, and whether it was canceled by this."""

    was: Status
    is_done: bool
    callbacks: int = 0  # to be sent
    was_so: bool = False  # it was canceled before, by whom it is canceled now


def cancel(connection: Connection, provider_id: str, id_: str, *, tests_only: bool) -> Cancellation | None:
    """
    Cancel a message that nobody dials yet.

    Args:
        connection: Of a transaction.
        provider_id: Whose message it must be.
        id_: Our id of the message.
        tests_only: A live message is none that the provider has.

    Returns:
        What became of it; None when the provider has no such message.
    """
    asked = {"id": id_, "provider_id": provider_id, "test": Lane.TEST, "tests_only": tests_only}
    return _cancel(connection, _FIND, asked, Reason.CANCELED_BY_SENDER)


def cancel_by_operator(connection: Connection, id_: str) -> Cancellation | None:
    """Cancel anybody's message that nobody dials yet; None where there is no such message."""
    return _cancel(connection, _FIND_ANY, {"id": id_}, Reason.CANCELED_BY_OPERATOR)


def _cancel(connection: Connection, find: TextClause, asked: Mapping[str, Any], reason: Reason) -> Cancellation | None:
    found = connection.execute(find, asked).first()
    if found is None:
        return None
    moved = moves.apply(connection, [Move(asked["id"], Event.CANCEL_ASKED, reason=reason)])
    was_so = found.reason == reason
    return Cancellation(Status(found.status), bool(moved), sum(one.callbacks for one in moved), was_so)
