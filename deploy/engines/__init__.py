"""The engines Ringpost stands on: the operator's own by URL, else private ones that live and die with us."""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.engines.home import Home
from deploy.engines.ladder import EngineError, Found, Source, find_postgres, find_valkey
from deploy.engines.postgres import Postgres
from deploy.engines.valkey import Valkey
from shared.secret_values import without_password

__all__ = [
    "EngineError",
    "Engines",
    "Found",
    "Home",
    "Postgres",
    "Source",
    "Valkey",
    "find_postgres",
    "find_valkey",
]


class Engines:
    """
    PostgreSQL and Valkey, started on entry and stopped on exit.

    An engine whose URL is given is left alone. ``postgres`` and ``valkey`` are the private ones, or None;
    fault drills kill and start them through these. Should this process be killed, they end as well.
    """

    def __init__(
        self,
        data_dir: Path | str,
        database_url: str | None = None,
        redis_url: str | None = None,
        *,
        fast: bool = False,
    ) -> None:
        """
        Find the engines without starting anything.

        Args:
            data_dir: Where private engines keep their data; made when missing.
            database_url: An existing PostgreSQL; None or "" for a private one.
            redis_url: An existing Redis or Valkey; None or "" for a private one.
            fast: For tests: PostgreSQL does not wait for the disk.

        Raises:
            EngineError: An engine is neither given nor installed.
        """
        self._home: Final = Home(Path(data_dir))
        self.postgres: Final = None if database_url else Postgres(self._home, find_postgres(), fast=fast)
        self.valkey: Final = None if redis_url else Valkey(self._home, find_valkey())
        self.database_url: Final = database_url or (self.postgres.url() if self.postgres else "")
        self.redis_url: Final = redis_url or (self.valkey.url if self.valkey else "")

    def start(self) -> Self:
        """
        Start the private engines, both at once, and return when they answer.

        Raises:
            EngineError: One does not start, or another ringpost uses the data folder; none is left running.
        """
        private = [engine for engine in (self.postgres, self.valkey) if engine is not None]
        if private:
            self._home.lock()
        try:
            for engine in private:
                engine.launch()
            for engine in private:
                engine.await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the private engines cleanly and give the data folder back. Harmless when nothing runs."""
        for engine in (self.valkey, self.postgres):
            if engine is not None:
                engine.stop()
        self._home.unlock()

    def private_urls(self) -> dict[str, str]:
        """The environment that leads other processes to the private engines."""
        urls = {}
        if self.postgres is not None:
            urls["DATABASE_URL"] = self.database_url
        if self.valkey is not None:
            urls["REDIS_URL"] = self.redis_url
        return urls

    def describe(self) -> list[str]:
        """One line per engine: where it came from, its version, where it listens."""
        return [
            _line("PostgreSQL", self.postgres, "DATABASE_URL", self.database_url),
            _line("Valkey", self.valkey, "REDIS_URL", self.redis_url),
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _line(name: str, engine: Postgres | Valkey | None, setting: str, url: str) -> str:
    if engine is None:
        return f"{name} from {setting}: {without_password(url)}"
    return f"{name} {engine.version} from the {engine.source}, private: {engine.where}"
