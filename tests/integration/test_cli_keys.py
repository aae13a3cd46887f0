"""Keys from the command line."""

import json

import pytest
from sqlalchemy import text

from shared.db.queries import providers


@pytest.fixture
def bank(provider_id):
    """A provider with one live key."""
    return provider_id


def rows(database, statement, **values):
    with database.transaction() as connection:
        return connection.execute(text(statement), values).all()


def created(ringpost, *arguments):
    result = ringpost("keys", "create", "bank", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_key_has_a_mode_a_name_and_an_end_and_is_listed_without_its_secret(ringpost, database, bank):
    made = created(ringpost, "--mode", "test", "--expires", "90d", "--name", "build server")

    listed = ringpost("keys", "list", "bank", "--json")
    shown = ringpost("keys", "list")

    row = next(row for row in json.loads(listed.stdout) if row["keyId"] == made["keyId"])
    assert made["secret"].startswith("rp_test_")
    assert (row["mode"], row["name"], row["state"], row["lastUsedAt"]) == ("test", "build server", "active", None)
    assert set(row) == {
        "keyId", "providerId", "provider", "mode", "name", "createdAt", "expiresAt", "lastUsedAt", "state"
    }  # fmt: skip
    assert made["secret"] not in listed.stdout + shown.stdout
    assert made["keyId"] in shown.stdout
    in_90_days = "SELECT expires_at = created_at + interval '90 days' FROM api_keys WHERE key_id = :id"
    assert rows(database, in_90_days, id=made["keyId"])[0][0]
    with database.transaction() as connection:
        assert providers.owner_of_key(connection, made["keyId"]).mode == "test"


def test_the_third_live_key_is_refused_until_one_is_revoked_or_expired(ringpost, database, bank):
    second = created(ringpost)
    created(ringpost, "--mode", "test")

    refused = ringpost("keys", "create", "bank")
    rows(database, "UPDATE api_keys SET expires_at = now() WHERE key_id = :id RETURNING 1", id=second["keyId"])
    third = created(ringpost)
    ringpost("keys", "revoke", third["keyId"])
    created(ringpost)

    assert refused.exit_code == 1
    assert refused.stderr.startswith("PROVIDER: there are 2 live keys already: revoke one of key_")
    assert second["keyId"] in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--expires", "2020-01-01T00:00:00Z"], "--expires: must lie in the future"),
        (["--expires", "soon"], "--expires: must be an RFC 3339 time with an offset"),
        (["--expires", "0d"], "--expires: must be an RFC 3339 time"),
        (["--name", ""], "--name: must have 1 to 64 printable characters"),
        (["--name", "x" * 65], "--name: must have 1 to 64 printable characters"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_option(ringpost, database, bank, arguments, line):
    before = rows(database, "SELECT count(*) FROM api_keys")

    result = ringpost("keys", "create", "bank", *arguments)

    assert (result.exit_code, result.stderr.startswith(line)) == (2, True), result.stderr
    assert rows(database, "SELECT count(*) FROM api_keys") == before


def test_what_was_changed_is_in_the_audit_log_with_before_and_after(ringpost, database, bank):
    made = created(ringpost, "--name", "till")
    ringpost("keys", "revoke", made["keyId"])

    noted = rows(
        database,
        "SELECT action, before->>'state' AS before, after->>'state' AS after, after->>'name' AS name,"
        " after::text AS said FROM audit_log WHERE target = :id ORDER BY audit_id",
        id=made["keyId"],
    )

    assert [row[:4] for row in noted] == [
        ("key.create", None, "active", "till"),
        ("key.revoke", "active", "revoked", "till"),
    ]
    assert made["secret"] not in str(noted)
