"""PostgreSQL connections: one engine a process, short transactions, repeats only where repeating is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import structlog
import tenacity
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")

#: serialization_failure, deadlock_detected: PostgreSQL rolled the whole transaction back.
_REPEATABLE: Final = frozenset({"40001", "40P01"})
#: Classes 08 (connection), 53 (resources), 57 (operator intervention), 25006 (read-only standby).
_AWAY_CLASSES: Final = ("08", "53", "57")
_READ_ONLY: Final = "25006"

log = structlog.get_logger()


class DatabaseAway(Exception):
    """PostgreSQL cannot be reached or will not write now: whether the last statement took effect is not known."""


def sql_state(error: BaseException) -> str | None:
    """PostgreSQL's five-character code of a failed statement, if it answered at all."""
    return getattr(getattr(error, "orig", None), "pgcode", None)


def is_away(error: BaseException) -> bool:
    """Whether the database, not the statement, is at fault."""
    if isinstance(error, DatabaseAway | PoolTimeout | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = sql_state(error)
    if state is None:
        return isinstance(error, OperationalError) or error.connection_invalidated
    return state[:2] in _AWAY_CLASSES or state == _READ_ONLY


def _is_repeatable(error: BaseException) -> bool:
    return is_away(error) or sql_state(error) in _REPEATABLE


class Database:
    """The process's way to PostgreSQL. Holding one holds a pool; :meth:`close` gives it back."""

    def __init__(self, url: str, *, application: str, pool_size: int = 4, statement_timeout_s: float = 5) -> None:
        """
        Args:
            url: ``postgresql://…`` or ``postgres://…``; the driver is ours to name.
            application: Shown in ``pg_stat_activity``.
            pool_size: Connections kept; more than about four a core only slow PostgreSQL down.
            statement_timeout_s: Seconds after which PostgreSQL gives a statement up.
        """
        # SQLAlchemy 2.1 reads the short form as psycopg 3, and knows no "postgres".
        parsed = make_url(url).set(drivername="postgresql+psycopg2")
        self.engine: Engine = create_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=2,
            hide_parameters=True,
            json_serializer=lambda value: to_json(value).decode(),
            json_deserializer=from_json,
            connect_args={
                "connect_timeout": 3,
                "application_name": application,
                "options": f"-c statement_timeout={int(statement_timeout_s * 1000)} -c timezone=UTC",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "target_session_attrs": "read-write",
            },
        )
        event.listen(self.engine, "handle_error", _hide_values)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by any error."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """A connection on which each statement commits by itself: one round trip instead of three."""
        with self._autocommit.connect() as connection:
            yield connection

    def run(self, work: Callable[[Connection], T], *, patience_s: float = 3, alone: bool = False) -> T:
        """
        Do *work* in one transaction, again after a lost connection, a deadlock or a serialisation failure.

        Args:
            work: Must be safe to repeat, as a commit whose answer was lost is repeated too.
            patience_s: How long to keep trying while PostgreSQL is away, in seconds; at least three tries.
            alone: *work* is a single statement: no BEGIN and COMMIT around it.

        Raises:
            DatabaseAway: PostgreSQL stayed away.
        """
        scope = self.statement if alone else self.transaction

        def once() -> T:
            with scope() as connection:
                return work(connection)

        try:
            return once()
        except (DBAPIError, PoolTimeout) as error:
            if not _is_repeatable(error):
                raise
            log.info("database_retry", sql_state=sql_state(error), error=type(error).__name__)
        try:
            return _again(patience_s)(once)
        except (DBAPIError, PoolTimeout) as error:
            if is_away(error):
                raise DatabaseAway(type(error).__name__) from None
            raise

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _hide_values(context: Any) -> None:
    """
    Keep of PostgreSQL's complaint its first line.

    The lines after it quote rows and statements with their values, which ``hide_parameters`` does not know of; so
    does the first of class 22, "data exception".
    """
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    complaint = str(original).partition("\n")[0]
    if (getattr(original, "pgcode", None) or "").startswith("22"):
        complaint = complaint.partition(":")[0]
    original.args = (complaint,)
    if wrapped is not None:
        wrapped.args = (f"({type(original).__name__}) {complaint}",)


def _again(patience_s: float) -> tenacity.Retrying:
    enough: Any = tenacity.stop_after_delay(patience_s)
    if patience_s < 1:
        enough = tenacity.stop_after_attempt(1)
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_repeatable),
        stop=enough,
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
        reraise=True,
    )
