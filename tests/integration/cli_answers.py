"""What a command is asked about, and what it answers."""

import json

from sqlalchemy import text


def execute(database, *statements):
    with database.transaction() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
    return result


def as_json(result, code=0):
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)
