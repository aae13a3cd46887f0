"""Drill: a process dies again before it is up."""

import pytest

from tests.e2e.stage import wait_until

SOON = 12  # s on a busy machine

pytestmark = pytest.mark.xdist_group("deaths")


def test_a_worker_killed_while_it_boots_is_soon_replaced(stage):
    first = stage.kill("calls-bulk")
    second = wait_until(lambda: stage.pid("calls-bulk") not in (None, first) and stage.pid("calls-bulk"))

    stage.kill("calls-bulk")
    third = wait_until(lambda: stage.pid("calls-bulk") not in (None, first, second) and stage.pid("calls-bulk"), SOON)
    stage.submit("after-restarts", stage.new_number(), type="alert")

    assert third
    assert stage.callback("after-restarts")["status"] == "delivered"
