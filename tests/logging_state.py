"""What a test, or a command that it ran in this process, asked of logging is undone before the next one."""

import logging
import sys
import threading
from contextlib import contextmanager

import structlog
from structlog._config import BoundLoggerLazyProxy


@contextmanager
def restored():
    """Logging as it was, whatever is configured inside."""
    config, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    hooks = sys.excepthook, threading.excepthook
    try:
        yield
    finally:
        if structlog.get_config() != config:
            structlog.configure(**config)
            forget_loggers()
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
            sys.excepthook, threading.excepthook = hooks


def forget_loggers():
    """Those that modules keep since logging was configured as a process does."""
    for module in list(sys.modules.values()):
        for known in list(getattr(module, "__dict__", {}).values()):
            if isinstance(known, BoundLoggerLazyProxy):
                vars(known).pop("bind", None)
