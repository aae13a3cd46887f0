"""Providers and keys from the command line, and what the help and wrong use say."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from sqlalchemy import text

from deploy.cli import COMMANDS
from shared.db.database import Database
from shared.db.migrate import migrate
from shared.db.queries import providers
from shared.sealing import Sealer


@pytest.fixture(autouse=True)
def _empty(database):
    """No provider from the test before."""


def rows(database, statement):
    with database.transaction() as connection:
        return connection.execute(text(statement)).all()


def created(ringpost, *arguments):
    result = ringpost("providers", "create", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_new_provider_gets_a_key_that_opens_the_api(ringpost, database):
    made = created(ringpost, "bank")

    with database.transaction() as connection:
        owner = providers.owner_of_key(connection, made["keyId"])
    assert owner.provider_id == made["providerId"]
    assert owner.secret_hash == hashlib.sha256(made["secret"].encode()).digest()
    assert owner.countries is None
    assert list(made) == ["providerId", "keyId", "secret", "callbackSecret"]
    assert made["callbackSecret"] is None


def test_the_callback_secret_is_stored_sealed(ringpost, database, settings):
    made = created(ringpost, "shop", "--callback-url", "https://shop.example/cb", "--countries", "sg,US")

    [endpoint] = rows(database, "SELECT endpoint_id, url, secret FROM endpoints")
    sealer = Sealer(settings.ringpost_data_key.get_secret_value())
    assert sealer.unseal(bytes(endpoint.secret), row=endpoint.endpoint_id).decode() == made["callbackSecret"]
    assert made["callbackSecret"].startswith("whsec_")
    assert rows(database, "SELECT countries FROM providers") == [(["SG", "US"],)]


def test_secrets_are_printed_once_and_never_listed(ringpost):
    made = created(ringpost, "bank", "--callback-url", "https://bank.example/cb")

    listed = ringpost("providers", "list", "--json").stdout + ringpost("providers", "list").stdout

    assert made["keyId"] in listed
    assert made["secret"] not in listed
    assert made["callbackSecret"] not in listed


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["bank"], 1, "NAME: there is a provider 'bank' already\n"),
        ([" "], 2, "NAME: must not be empty\n"),
        (["new", "--countries", "SG,XX"], 2, "countries: XX is no ISO 3166 code such as SG, and not *\n"),
        (["new", "--callback-url", "http://127.0.0.1/"], 2, "--callback-url: the URL's address is not a public one\n"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_option(ringpost, arguments, code, line):
    created(ringpost, "bank")

    result = ringpost("providers", "create", *arguments)

    assert (result.exit_code, result.stderr) == (code, line)


def test_a_disabled_provider_s_keys_open_nothing(ringpost, database):
    made = created(ringpost, "bank")

    first, second = ringpost("providers", "disable", "bank"), ringpost("providers", "disable", "bank")

    with database.transaction() as connection:
        assert providers.owner_of_key(connection, made["keyId"]) is None
    assert (first.exit_code, second.exit_code) == (0, 1)


def test_a_key_is_created_beside_the_others_and_revoked_alone(ringpost, database):
    old = created(ringpost, "bank")
    new = json.loads(ringpost("keys", "create", "bank", "--json").stdout)

    revoked, again = ringpost("keys", "revoke", old["keyId"]), ringpost("keys", "revoke", old["keyId"])

    with database.transaction() as connection:
        assert providers.owner_of_key(connection, old["keyId"]) is None
        assert providers.owner_of_key(connection, new["keyId"]).provider_id == old["providerId"]
    assert (revoked.exit_code, again.exit_code) == (0, 1)


def test_every_change_is_in_the_audit_log_without_its_secrets(ringpost, database):
    made = created(ringpost, "bank")
    ringpost("keys", "create", "bank")
    ringpost("keys", "revoke", made["keyId"])
    ringpost("providers", "disable", "bank")

    written = rows(database, "SELECT actor, action, target, after::text FROM audit_log ORDER BY audit_id")

    assert [row.action for row in written] == ["provider.create", "key.create", "key.revoke", "provider.disable"]
    assert all(row.actor for row in written)
    assert made["secret"] not in str(written)


def test_an_unknown_provider_is_said_so(ringpost):
    result = ringpost("keys", "create", "nobody")

    assert result.exit_code == 1
    assert "there is no provider 'nobody'" in result.stderr


def test_missing_settings_are_named_a_line_each(ringpost, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = ringpost("providers", "list", WEBHOOK_AUTH_TOKEN="", PORT="x")

    assert result.exit_code == 2
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["WEBHOOK_AUTH_TOKEN", "PORT"]


def test_an_unreachable_database_is_one_line(ringpost):
    result = ringpost("providers", "list", DATABASE_URL="postgresql://127.0.0.1:1/nowhere")

    assert result.exit_code == 1
    assert result.stderr.startswith("PostgreSQL cannot be reached")
    assert len(result.stderr.splitlines()) == 1


def test_migrating_twice_does_nothing_the_second_time(ringpost, engines):
    url = engines.postgres.create_database("never_migrated")
    refused = ringpost("providers", "list", DATABASE_URL=url)

    first, second = ringpost("migrate", DATABASE_URL=url), ringpost("migrate", DATABASE_URL=url)

    assert (refused.exit_code, refused.stderr) == (2, "the database lacks tables: run `ringpost migrate`\n")
    assert first.stdout.startswith("applied ")
    assert second.stdout == "the database is up to date\n"


def test_whoever_waits_for_a_migration_goes_on_when_it_was_done_elsewhere(ringpost, engines):
    url = engines.postgres.create_database("migrated_elsewhere")
    refused = ringpost("migrate", "--wait", "0", DATABASE_URL=url)

    with ThreadPoolExecutor(1) as others:
        waiting = others.submit(ringpost, "migrate", "--wait", "60", DATABASE_URL=url)
        database = Database(url, application="tests")
        migrate(database)
        database.close()

        assert waiting.result().exit_code == 0

    assert refused.exit_code == 1
    assert refused.stderr.startswith("the database lacks 0001")


def test_whoever_waits_for_a_migration_waits_for_postgres_too(ringpost):
    away = ringpost("migrate", "--wait", "0", DATABASE_URL="postgresql://127.0.0.1:1/nowhere")

    assert (away.exit_code, away.stderr.partition(":")[0]) == (1, "PostgreSQL cannot be reached")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_s_line_is_the_command_s_own(name):
    module, line = COMMANDS[name]

    command = getattr(import_module(f"deploy.commands.{module}"), name.replace("-", "_"))

    assert command.get_short_help_str(limit=200) == line
