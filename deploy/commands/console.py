"""What the commands share: settings and connections in, tables or JSON out, problems as one line."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from shared.as_json import json_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from sqlalchemy import Connection

    from shared.db.database import Database
    from shared.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

BAD_NEWS: Final = 1
WRONG_USE: Final = 2
#: The settings of a running `ringpost dev`, in its data folder.
DEV_ENVIRONMENT: Final = "dev.env"
_UNKNOWN_TABLE: Final = "42P01"
_LONGEST_ACTOR: Final = 64
#: Reports may scan whole tables.
_STATEMENT_TIMEOUT_S: Final = 120


class Problem(click.ClickException):
    """A command's end in one line, or one line per problem, with its exit code."""

    def __init__(self, text: str, code: int = BAD_NEWS) -> None:
        super().__init__(text)
        vars(self)["exit_code"] = code  # click declares it for the class

    def show(self, file: Any = None) -> None:
        """Write the lines to standard error."""
        click.echo(self.message, file=file or sys.stderr)


def explained(error: Exception) -> Problem | None:
    """The problem that an operator sees in place of *error*; None for a bug."""
    from deploy.engines import EngineError
    from shared.db.database import is_away, sql_state
    from shared.errors import VoiceApiError
    from shared.settings import SettingsError

    if isinstance(error, SettingsError):
        return Problem(str(error), WRONG_USE)
    if isinstance(error, EngineError | VoiceApiError):
        return Problem(str(error))
    if is_away(error):
        return Problem("PostgreSQL cannot be reached: is `ringpost up` running, or DATABASE_URL right?")
    if sql_state(error) == _UNKNOWN_TABLE:
        return Problem("the database lacks tables: run `ringpost migrate`", WRONG_USE)
    return None


def load_settings() -> Settings:
    """
    The settings, with both engines' URLs; those of a running `ringpost dev` where there are no others.

    Raises:
        SettingsError: They are incomplete or wrong.
    """
    from shared.settings import Settings, SettingsError

    try:
        settings = Settings.load()
    except SettingsError:
        dev = Path(os.environ.get("RINGPOST_DATA_DIR") or ".ringpost") / DEV_ENVIRONMENT
        if not dev.exists():
            raise
        return Settings.load(_env_file=dev)
    if settings.database_url and settings.redis_url:
        return settings
    from deploy.engines import Engines

    engines = Engines(settings.ringpost_data_dir, settings.database_url, settings.redis_url)
    return settings.model_copy(update={"database_url": engines.database_url, "redis_url": engines.redis_url})


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """PostgreSQL as the settings name it."""
    from shared.db.database import Database

    settings = settings or load_settings()
    database = Database(
        str(settings.database_url),
        application="ringpost-cli",
        pool_size=1,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        by_index=False,
    )
    try:
        yield database
    finally:
        database.close()


@contextmanager
def open_transaction(settings: Settings | None = None) -> Iterator[Connection]:
    """One transaction on PostgreSQL: committed at the end, rolled back by any error."""
    with open_database(settings) as database, database.transaction() as connection:
        yield connection


def note(
    connection: Connection, action: str, target: str, after: Any = None, *, before: Any = None, by: str | None = None
) -> None:
    """Write into the audit log who changed what, and from what to what; *by* is somebody else than who runs this."""
    from shared.db.queries import audit_log

    audit_log.note(connection, actor(by), action, target, before=before, after=after)


def actor(claimed: str | None = None) -> str:
    """Whoever runs this command: the operating system's name, behind the one that it or RINGPOST_ACTOR claims."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    claimed = " ".join((claimed or os.environ.get("RINGPOST_ACTOR", "")).split())[:_LONGEST_ACTOR]
    return f"{claimed} ({user})" if claimed else user


def json_option(command: F) -> F:
    """Add ``--json``, the parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def print_json(value: Any) -> None:
    """Print *value* as JSON: members in camelCase, times as the API writes them."""
    click.echo(json.dumps(json_of(value), indent=2, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows for people; "none" instead of an empty table."""
    console().print(table_of(title, columns, rows))


def console() -> Console:
    """Where pages for people go: as wide as the terminal, and wide where none is."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table | str:
    """Rows for people; "none" instead of an empty table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table if table.row_count else f"{title}: none"


def shown(value: Any) -> str:
    """A cell's text."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or "-"
    return str(value)
