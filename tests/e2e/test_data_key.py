"""Drill: the data key is replaced by two restarts of everything, while messages wait and are called."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.stage import Stage, wait_until

pytestmark = [
    pytest.mark.xdist_group("deaths"),
    # Everything starts three times, on engines of its own: longer than a test may take in the suite.
    pytest.mark.skipif(os.environ.get("RINGPOST_DRILLS") != "all", reason="RINGPOST_DRILLS=all: takes minutes"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def stage(tmp_path):
    """Its own, as the others' data key stays."""
    with Stage(tmp_path) as stage:
        yield stage


def test_what_waits_under_the_old_key_is_called_under_the_new_one_alone(stage):
    old, new = stage.environment["RINGPOST_DATA_KEY"], stage.ringpost("keys", "new-data").stdout.strip()
    numbers = {name: stage.new_number() for name in ("waits", "between", "after")}
    far = datetime.now(UTC) + timedelta(hours=1)
    waiting = stage.submit("waits", numbers["waits"], type="alert", scheduledAt=far.isoformat(timespec="seconds"))

    stage.restart(RINGPOST_DATA_KEY=new, RINGPOST_DATA_KEY_OLD=old)
    stage.submit("between", numbers["between"])
    assert stage.callback("between")["status"] == "delivered"  # the secret is still sealed with the old key
    rotated = stage.ringpost("keys", "rotate-data")
    stage.restart(RINGPOST_DATA_KEY_OLD=None)
    stage.rows("UPDATE messages SET due_at = now() WHERE id = :id RETURNING id", id=waiting["id"])
    stage.submit("after", numbers["after"])

    assert rotated.returncode == 0, rotated.stdout + rotated.stderr
    for name in ("waits", "after"):
        assert stage.callback(name)["status"] == "delivered", name
    assert {name: len(stage.simulator.ledger.of(number)) for name, number in numbers.items()} == dict.fromkeys(
        numbers, 1
    )
    wait_until(lambda: stage.ringpost("audit", "--grace", "5").returncode == 0, what="every message is accounted for")
