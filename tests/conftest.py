"""How the suite is shared out among processes, and how its processes log."""

import pytest
import structlog

from tests.logging_state import restored

# Drawn in colours with every local variable, as nothing else is, exceptions took a sixth of the tests' time.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(autouse=True)
def logging_restored():
    """No test finds what another asked of logging."""
    with restored():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """By file, as those of a file share an ingress, a database, a browser; all of one running service together."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            group = "deaths" if "running_stage" in item.fixturenames else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))
