"""Each failpoint kills its process once in the running service: nothing is lost, doubled or left open."""

import os

import click
import pytest

from deploy.chaos.armed import DrillStage
from deploy.chaos.sweep import role_of, rounds_of, sweep
from shared.failpoints import NAMES, Action

pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.timeout(400)]
#: ``RINGPOST_SWEEP=all`` adds errors and pauses, which takes minutes.
ACTIONS = list(Action) if os.environ.get("RINGPOST_SWEEP") == "all" else [Action.KILL]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with DrillStage(tmp_path_factory.mktemp("sweep")) as stage:
        yield stage


@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_strikes_at_a_failpoint_breaks_no_promise(stage, capsys, action):
    swept = sweep(stage, action)

    with capsys.disabled():
        click.echo(f"\n{action}: {swept.messages} messages in {swept.took_s} s")
    assert swept.missed == ()
    assert swept.contradictions == ()


def test_every_failpoint_is_in_one_round_and_no_role_has_more_than_it_can_bear():
    rounds = rounds_of(NAMES, 3)

    assert sorted(name for one in rounds for name in one) == sorted(NAMES)
    assert all([role_of(name) for name in one].count("web") <= 3 for one in rounds)
