"""Real engines for integration tests: one PostgreSQL and Valkey a run, one migrated database a module."""

import base64
import itertools

import psycopg2
import pytest
import redis
from click.testing import CliRunner

from deploy.cli import main
from deploy.commands.providers import create_provider
from deploy.demo.surroundings import environment_of
from deploy.engines import Engines
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.db.queries import accept, moves
from shared.db.tables import METADATA
from shared.ids import new_id
from shared.lifecycle import Event, Lane, Move
from shared.settings import Settings
from tests.integration.emptying import empty
from tests.integration.own_engines import migrated_engines
from tests.logging_state import restored

_TEMPLATE = "ringpost_migrated"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def engines(tmp_path_factory):
    """Running engines, shared by the whole run: tests use them and do not stop them."""
    with Engines(tmp_path_factory.mktemp("engines"), fast=True) as engines:
        yield engines


@pytest.fixture(scope="session")
def migrated_template(engines):
    """The name of a database at the newest revision; copying it is faster than migrating again."""
    database = Database(engines.postgres.create_database(_TEMPLATE), application="tests")
    migrate(database)
    database.close()
    return _TEMPLATE


@pytest.fixture(scope="module")
def own_engines(tmp_path_factory):
    """Engines that a module's tests may stop and replace: it says ``OWN_ENGINES = True``."""
    with migrated_engines(tmp_path_factory.mktemp("own")) as engines:
        yield engines


def _has_own(request):
    return getattr(request.module, "OWN_ENGINES", False)


@pytest.fixture(scope="module")
def database_url(request):
    """A fresh migrated database, one for each test module; it is dropped with whoever still uses it."""
    if _has_own(request):
        yield request.getfixturevalue("own_engines").database_url
        return
    engines, template = request.getfixturevalue("engines"), request.getfixturevalue("migrated_template")
    name = f"module_{next(_numbers)}"
    yield engines.postgres.create_database(name, template=template)
    connection = psycopg2.connect(engines.postgres.url("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(scope="module")
def redis_url(request):
    """An empty Valkey, one for each test module."""
    engines = request.getfixturevalue("own_engines" if _has_own(request) else "engines")
    with redis.Redis.from_url(engines.redis_url) as client:
        client.flushall()
    return engines.redis_url


@pytest.fixture
def settings(database_url, redis_url, tmp_path):
    """Every required setting, the engines' URLs, and the rest as an operator would find it."""
    return settings_in(tmp_path, database_url, redis_url)


def settings_in(folder, database_url, redis_url):
    return Settings.load(
        _env_file=None,
        eight_x_eight_api_key="test-api-key",
        eight_x_eight_subaccount_id="test_voice",
        outbound_phone_number="+6531580001",
        webhook_auth_token="test-webhook-token",
        ringpost_data_key=base64.b64encode(bytes(range(32))).decode(),
        ringpost_data_dir=folder,
        database_url=database_url,
        redis_url=redis_url,
    )


@pytest.fixture
def database(settings):
    """The module's database, emptied."""
    database = Database(settings.database_url, application="tests")
    with database.transaction() as connection:
        empty(connection, METADATA.tables, "RESTART IDENTITY")
    yield database
    database.close()


@pytest.fixture
def ringpost(settings):
    """The command line, run in this process: ``ringpost("providers", "list", PORT="1")``."""

    def run(*arguments, answer="", **environment):
        with restored():
            return CliRunner().invoke(main, arguments, input=answer, env=environment_of(settings) | environment)

    return run


@pytest.fixture
def provider_id(database, settings):
    """A provider called bank, with one endpoint."""
    with database.transaction() as connection:
        made = create_provider(connection, settings, "bank", None, "https://bank.example/cb")
    return made["provider_id"]


@pytest.fixture
def accepted(database, provider_id):
    """Stores messages as the ingress does, and returns their ids."""

    def store(*message_ids, **changes):
        known = {
            "provider_id": provider_id,
            "fingerprint": b"f",
            "lane": Lane.OTP,
            "content": b"sealed",
            "destination_key": b"number",
            "destination_masked": "+65****4567",
            "country": "SG",
            "source": "+6531580001",
            "voice": "en-US-BenjaminRUS",
            "speed": 1.0,
            "plays": 2,
            "seconds_per_play": 4.0,
            "interruptible": False,
            "max_attempts": 2,
            "spare_attempts": 2,
            "redial_unknown": False,
            "endpoint_id": None,
            "metadata": {"order_no": "7"},
            "warnings": [],
            "scheduled_at": None,
            "expires_at": None,
            "ttl_s": 120,
        } | changes
        new = [accept.NewMessage(id=new_id("msg"), message_id=name, **known) for name in message_ids]
        with database.transaction() as connection:
            return [row.id for row in accept.store(connection, new)]

    return store


@pytest.fixture
def canceled(accepted, database):
    """Stores messages that came to their end, with one callback each."""

    def store(*message_ids, **changes):
        ids = accepted(*message_ids, **changes)
        with database.transaction() as connection:
            moves.apply(connection, [Move(id_, Event.CANCEL_ASKED, reason="canceled_by_sender") for id_ in ids])
        return ids

    return store
