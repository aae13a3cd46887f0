"""
A third of the failpoints kill their processes in the running service: nothing is lost, doubled or left open.

``ringpost chaos sweep`` lets all kill, raise and pause, which takes minutes; with ``RINGPOST_SWEEP=all`` all kill here.
"""

import os

import click
import pytest

from deploy.chaos.armed import DrillStage
from deploy.chaos.sweep import role_of, rounds_for, sweep
from shared.failpoints import NAMES, Action

#: One of each three that follow one another, so that each step has some.
SWEPT = NAMES if os.environ.get("RINGPOST_SWEEP") == "all" else NAMES[1::3]

pytestmark = [pytest.mark.xdist_group("deaths"), pytest.mark.timeout(400)]


def test_whatever_is_killed_at_a_failpoint_breaks_no_promise(tmp_path, capsys):
    with DrillStage(tmp_path) as stage:
        swept = sweep(stage, Action.KILL, SWEPT)

    with capsys.disabled():
        click.echo(f"\n{swept.messages} messages in {swept.took_s} s")
    assert swept.missed == ()
    assert swept.contradictions == ()
    assert sorted(one["name"] for one in swept.hit) == sorted(SWEPT)


@pytest.mark.parametrize(("action", "most"), [(Action.KILL, 3), (Action.RAISE, 3), (Action.PAUSE, 2)])
def test_every_failpoint_is_in_one_round_and_no_role_has_more_than_it_can_bear(action, most):
    rounds = rounds_for(action)

    assert sorted(name for one in rounds for name in one) == sorted(NAMES)
    assert max([role_of(name) for name in one].count("web") for one in rounds) == most
