"""Drill: Redis is disposable, also for a long time."""

import statistics

import click
import pytest

from tests.e2e.burst import Burst, faults_of

MESSAGES = 200
BURST_S = 2
DRAIN_S = 40

pytestmark = pytest.mark.xdist_group("deaths")


def median_ms(burst):
    return statistics.median(seconds for _, seconds in burst.accepted.values()) * 1000


def test_messages_are_accepted_dialled_and_called_back_without_redis(stage, capsys):
    with Burst(stage, "redis-up", MESSAGES, BURST_S) as usual:
        usual.wait_for_accepted(MESSAGES)
    usual.wait_for_end(DRAIN_S)

    stage.engines.valkey.kill()
    with Burst(stage, "redis-away", MESSAGES, BURST_S) as burst:
        burst.wait_for_accepted(MESSAGES)
    burst.wait_for_end(DRAIN_S)
    stage.engines.valkey.start()

    with capsys.disabled():
        click.echo(f"\naccepted at the median in {median_ms(usual):.0f} ms, without Redis in {median_ms(burst):.0f} ms")
    assert burst.refused == {}
    assert faults_of(usual) == []
    assert faults_of(burst) == []
    assert {status for status, _ in burst.statuses().values()} == {"delivered"}
