"""
Logs: one fixed event name, then fields. Never a text, a code, a full number or a credential.

Whoever logs leaves them out; what a library or an error says passes through a second net here.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

import structlog

#: What follows the first part of a UUID, such as 8x8's session ids are.
_REST_OF_UUID: Final = r"-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b"
#: Runs of digits as long as a phone number; behind a plus also with what people write between them.
_NUMBERS: Final = re.compile(
    r"\+[0-9](?:[ ().-]{0,2}[0-9]){7,14}(?![0-9])"
    rf"|(?<![0-9A-Za-z_.-])[0-9]{{7,15}}(?![0-9A-Za-z_]|{_REST_OF_UUID})"
)
#: What stands behind the name of the header, or behind its scheme.
_CREDENTIALS: Final = re.compile(
    r"(?i)(authorization['\"]?\s*[:=,]\s*(?:b?['\"])?(?:(?:basic|bearer)\s+)?)[^\s'\",;}\])]+"
    r"|(\b(?:basic|bearer)\s+)[^\s'\",;}\])]{8,}"
)
_MASK: Final = "****"
_DEEPEST: Final = 5
#: An integer from here on may be a phone number; what we count and measure is less.
_LEAST_NUMBER: Final = 10**9


def configure(log_format: str, level: str, ids: Callable[[], Mapping[str, str]] = dict) -> None:
    """
    Set this process's logging up, for our events and for the libraries'.

    Args:
        log_format: ``json`` or ``text``.
        level: The least to be shown, such as ``INFO``.
        ids: Asked at each line what it belongs to, besides what it says itself: nothing need be bound beforehand.
    """

    def name(_logger: Any, _method: str, event: Any) -> Any:
        return {**ids(), **event}

    shared: list[Any] = [
        name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _mask,
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
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_thread
    # The libraries speak up only when something is wrong: their INFO is a line per request.
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _mask(_logger: Any, _method: str, event: Any) -> Any:
    for key, value in event.items():
        if key != "timestamp":
            event[key] = masked(value)
    return event


def masked(value: Any, depth: int = 0) -> Any:
    """*value* without anything that looks like a phone number or a credential, however deep inside it."""
    if isinstance(value, str):
        value = _NUMBERS.sub(_MASK, value)
        # Most of what is logged is a word or an id.
        return _CREDENTIALS.sub(rf"\1\2{_MASK}", value) if " " in value or "=" in value else value
    if value is None or isinstance(value, bool | float | int):
        return _MASK if isinstance(value, int) and abs(value) >= _LEAST_NUMBER else value
    if depth >= _DEEPEST:
        return _MASK
    if isinstance(value, Mapping):
        return {masked(name, depth + 1): masked(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(item, depth + 1) for item in value]
    return masked(str(value), depth)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python would print as it is."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().critical("uncaught", exc_info=(kind, error, trace))


def _log_uncaught_of_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None and not issubclass(told.exc_type, SystemExit):
        _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)
