"""PostgreSQL connections: one engine a process, short transactions, repeats only where repeating is safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

import structlog
import tenacity
from pydantic_core import from_json, to_json
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from shared.db.failures import hide_values_of
from shared.db.prepared import POOLED_STATES, plan_each_time

T = TypeVar("T")

#: serialization_failure, deadlock_detected: PostgreSQL rolled the whole transaction back.
_REPEATABLE: Final = frozenset({"40001", "40P01"})
#: Classes 08 (connection), 53 (resources), 57 (operator intervention), 25006 (read-only standby).
_AWAY_CLASSES: Final = ("08", "53", "57")
_READ_ONLY: Final = "25006"

#: Every statement of the pipeline finds a batch's rows one by one through an index. The planner does not know the size
#: of a batch, and a prepared statement keeps the plan of its first use: on a table that looked small then, it would
#: read the whole of it at each use (0.3 ms a message at 5,000 rows). Compiling such plans never pays. A bitmap scan
#: leaves dead index entries for the next to read again, eight for each live one in a burst: a claim took half longer.
_PLANS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

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
    return is_away(error) or sql_state(error) in _REPEATABLE | POOLED_STATES


class Database:
    """The process's way to PostgreSQL. Holding one holds a pool; :meth:`close` gives it back."""

    def __init__(
        self,
        url: str,
        *,
        application: str,
        pool_size: int = 4,
        statement_timeout_s: float = 5,
        by_index: bool = True,
        waited: Callable[[float], None] | None = None,
    ) -> None:
        """
        Args:
            url: ``postgresql://…`` or ``postgres://…``; the driver is ours to name.
            application: Shown in ``pg_stat_activity``.
            pool_size: Connections kept; more than about four a core only slow PostgreSQL down.
            statement_timeout_s: Seconds after which PostgreSQL gives a statement up.
            by_index: Tables are never read whole; False for reports that do.
            waited: Is told how long each wait for a connection took, in seconds, while others kept them all.
        """
        # SQLAlchemy 2.1 reads the short form as psycopg 3, and knows no "postgres".
        parsed = make_url(url).set(drivername="postgresql+psycopg2")
        session = {"statement_timeout": int(statement_timeout_s * 1000), "timezone": "UTC"}
        engine = partial(_engine, parsed, application, session | (_PLANS if by_index else {}), pool_size)
        self.engine: Final = engine()
        # Connections of its own that stay in autocommit: switching and resetting a shared one at each use doubled the
        # processor time of a statement (186 us instead of 106).
        self._autocommit: Final = engine(isolation_level="AUTOCOMMIT", pool_reset_on_return=None)
        self._prepares = True
        if waited is not None:
            for pool in (self.engine.pool, self._autocommit.pool):
                pool.waited = waited  # type: ignore[attr-defined]  # both are of the class below

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by any error."""
        with self.engine.begin() as connection:
            self._settle(connection)
            yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """A connection on which each statement commits by itself: one round trip instead of three."""
        with self._autocommit.connect() as connection:
            self._settle(connection)
            yield connection

    def _settle(self, connection: Connection) -> None:
        if not self._prepares:
            plan_each_time(connection)

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
            self._prepares = self._prepares and sql_state(error) not in POOLED_STATES
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
        self._autocommit.dispose()


class _Pool(QueuePool):
    """Tells of each wait for a connection; what is not waited for costs one comparison more."""

    waited: Callable[[float], None] = staticmethod(lambda _seconds: None)

    def _do_get(self) -> Any:
        if self._overflow < self._max_overflow or self.checkedin():
            return super()._do_get()
        began = time.perf_counter()
        try:
            return super()._do_get()
        finally:
            self.waited(time.perf_counter() - began)


def _engine(url: URL, application: str, session: Mapping[str, Any], pool_size: int, **options: Any) -> Engine:
    engine = create_engine(
        url,
        poolclass=_Pool,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=2,
        hide_parameters=True,
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
        connect_args={
            "connect_timeout": 3,
            "application_name": application,
            "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "target_session_attrs": "read-write",
        },
        **options,
    )
    event.listen(engine, "handle_error", hide_values_of)
    return engine


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
