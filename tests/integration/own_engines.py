"""Engines that tests may stop, replace or starve, with a database of the present schema."""

from contextlib import contextmanager

from deploy.engines import Engines
from shared.db.database import Database
from shared.db.migrate import migrate


@contextmanager
def migrated_engines(folder):
    with Engines(folder) as engines:
        database = Database(engines.database_url, application="tests")
        migrate(database)
        database.close()
        yield engines
