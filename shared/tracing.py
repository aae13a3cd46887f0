"""
Whether this process traces, and whose trace a request belongs to.

Off, which is the default, there is no tracer: a step looks whether there is one, and OpenTelemetry is not imported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import structlog

from shared.settings import Settings

if TYPE_CHECKING:
    from shared.spans import Tracer

#: W3C Trace Context, version 00: the ids of a trace and of a span in it, and flags. All zeros is no id.
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

log = structlog.get_logger()


def parent_of(header: str | None) -> str | None:
    """The sender's ``traceparent``; None for none, or for one that is malformed: then the trace begins here."""
    return header if header is not None and _TRACEPARENT.fullmatch(header) else None


def tracer_of(settings: Settings, application: str) -> Tracer | None:
    """
    What this process traces with; None where no collector is named, or what it takes is not installed.

    Args:
        settings: They name the collector.
        application: The service's name, unless OTEL_SERVICE_NAME says another.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    try:
        from shared.spans import exporting
    except ModuleNotFoundError as error:
        log.error(  # noqa: TRY400  the place says nothing
            "tracing_not_installed",
            said="OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is traced: install deploy/locked/traced.txt.",
            lacks=error.name,
        )
        return None
    return exporting(settings.otel_exporter_otlp_endpoint, application)
