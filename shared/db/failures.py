"""What PostgreSQL and its driver complain of, as SQLAlchemy's errors and without the values that they quote."""

from __future__ import annotations

from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def as_sqlalchemy(connection: Connection, error: psycopg2.Error) -> BaseException:
    """
    What SQLAlchemy would raise for *error* of a statement that went past it.

    As there, a connection that is gone takes along the pool that it came from: the others are most likely dead, too.
    """
    dialect: Any = connection.dialect  # its own types name no driver
    gone = dialect.is_disconnect(error, _session(connection), None)
    wrapped = DBAPIError.instance(
        None, None, error, psycopg2.Error, hide_parameters=True, connection_invalidated=gone, dialect=dialect
    )
    if gone and not connection.invalidated:
        connection.invalidate(error)
        connection.engine.dispose()
    hide_values(error, wrapped)
    return wrapped


def _session(connection: Connection) -> Any:
    return None if connection.invalidated else connection.connection.dbapi_connection


def hide_values(original: BaseException, wrapped: BaseException | None = None) -> None:
    """
    Keep of PostgreSQL's complaint its first line.

    The lines after it quote rows and statements with their values, which ``hide_parameters`` does not know of; so
    does the first of class 22, "data exception".
    """
    complaint = str(original).partition("\n")[0]
    if (getattr(original, "pgcode", None) or "").startswith("22"):
        complaint = complaint.partition(":")[0]
    original.args = (complaint,)
    if wrapped is not None:
        wrapped.args = (f"({type(original).__name__}) {complaint}",)


def hide_values_of(context: Any) -> None:
    """The same of what SQLAlchemy itself is about to raise: its ``handle_error`` event."""
    hide_values(context.original_exception, context.sqlalchemy_exception)
