"""One stage for the whole folder: the drills are part of its life, and what follows them must work all the same."""

import pytest

from tests.e2e.stage import Stage


@pytest.fixture(scope="session")
def running_stage(tmp_path_factory):
    with Stage(tmp_path_factory.mktemp("e2e")) as stage:
        yield stage


@pytest.fixture
def stage(running_stage):
    """The running service, ready; each test uses numbers and messageIds of its own."""
    running_stage.simulator.clear_faults()
    running_stage.await_ready()
    return running_stage
