"""Logs: one fixed event name, then fields. Never a text, a code or a full number."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Final

import structlog

#: Runs of digits as long as a phone number: the second net, for what a library may say.
_NUMBERS: Final = re.compile(r"(?<![0-9A-Za-z_.-])\+?[0-9]{7,15}(?![0-9A-Za-z_])")


def configure(log_format: str, level: str) -> None:
    """
    Set this process's logging up, for our events and for the libraries'.

    Args:
        log_format: ``json`` or ``text``.
        level: The least to be shown, such as ``INFO``.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask_numbers,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    # The libraries speak up only when something is wrong: their INFO is a line per request.
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _mask_numbers(_logger: Any, _method: str, event: Any) -> Any:
    for key, value in event.items():
        if isinstance(value, str) and key != "timestamp":
            event[key] = _NUMBERS.sub("****", value)
    return event
