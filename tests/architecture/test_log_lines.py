"""Whoever adds a log line says which ids it names; that it does is shown by ``tests/integration/test_log_lines.py``."""

from __future__ import annotations

import ast

from tests.architecture.log_lines import NAMED, OF_NO_ROW
from tests.architecture.source import modules, nodes

LOGGERS = {"log", "logger", "events", "structlog.get_logger()"}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def logged(module):
    """The events that a module logs, and what is no plain word."""
    for node in nodes(module):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        logger, _, level = ast.unparse(node.func).rpartition(".")
        event = node.args[0]
        if (logger in LOGGERS and level in LEVELS) or (level == "tell" and isinstance(event, ast.Constant)):
            yield event.value if isinstance(event, ast.Constant) else ast.unparse(event)


def test_every_line_is_known_to_name_what_it_concerns():
    found = {event for module in modules("ingress", "workers", "shared") for event in logged(module)}

    by_variable = {"self._event"}  # of failed logins: whose they are, and no row
    assert found - by_variable == NAMED.keys() | OF_NO_ROW
