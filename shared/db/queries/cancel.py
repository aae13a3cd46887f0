"""A provider takes a message back before anybody has begun to dial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from shared.db.queries import moves
from shared.lifecycle import Event, Lane, Move, Status
from shared.reasons import Reason

_FIND: Final = text("""
SELECT status, reason FROM messages
WHERE id = :id AND provider_id = :provider_id AND (lane = :test OR NOT :tests_only) FOR NO KEY UPDATE
""")


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Where a message stood, and whether it was canceled by this."""

    was: Status
    is_done: bool
    callbacks: int = 0  # to be sent
    is_by_sender: bool = False  # it was canceled before, by its provider


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
    found = connection.execute(_FIND, asked).first()
    if found is None:
        return None
    moved = moves.apply(connection, [Move(id_, Event.CANCEL_ASKED, reason=Reason.CANCELED_BY_SENDER)])
    by_sender = found.reason == Reason.CANCELED_BY_SENDER
    return Cancellation(Status(found.status), bool(moved), sum(one.callbacks for one in moved), by_sender)
