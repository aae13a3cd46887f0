"""Tests begin on tables as empty as if they were new."""

from sqlalchemy import text

from shared.db.tables import METADATA
from tests.integration.emptying import empty


def test_what_a_test_left_is_gone_and_rows_are_numbered_from_one_again(database, canceled):
    canceled("one", "two")

    with database.transaction() as connection:
        connection.execute(text("SELECT nextval('webhook_inbox_inbox_id_seq')"))
        empty(connection, METADATA.tables, "RESTART IDENTITY")
        left = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in METADATA.tables}
        number = connection.execute(text("SELECT nextval('webhook_inbox_inbox_id_seq')")).scalar()

    assert {name for name, count in left.items() if count} == set()
    assert number == 1
