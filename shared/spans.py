"""
Spans of OpenTelemetry. Imported only by a process that traces: :mod:`shared.tracing` decides.

Nothing is "current": whoever begins a span says whose child it is, by the ``traceparent`` that the message's row keeps.
What the SDK reads of its OTEL_* variables (sampler, batches, headers, resource) holds as it is documented there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final, Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

Kind = Literal["server", "client", "consumer"]
Value = str | int | float | bool
#: Sampled, and that the trace's id is random; W3C knows no others yet.
_FLAGS: Final = 0b11
#: Longest wait for the collector when a process ends, in seconds.
_LAST_S: Final = 3.0


class Span:
    """Something that takes time. It tells nothing until it has ended."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        #: What names it to whoever goes on from here; None where the SDK is disabled and has no ids.
        self.traceparent: str | None = None
        if context.is_valid:
            ids = f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
            self.traceparent = f"00-{ids}-{context.trace_flags:02x}"

    def end(self, attributes: Mapping[str, Value | None], error: str | None = None) -> None:
        """
        Hand it over to be exported.

        Args:
            attributes: Ids, statuses, counts: never a text, a number or a secret. None is left out.
            error: What failed, in one of our own words.
        """
        told = {name: value for name, value in attributes.items() if value is not None}
        if error is not None:
            told["error.type"] = error
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.set_attributes(told)
        self._span.end()


class Tracer:
    """Begins the spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("ringpost")

    def begin(self, name: str, kind: Kind, parent: str | None, *, ago_s: float = 0) -> Span:
        """
        A span that began *ago_s* seconds ago.

        Args:
            name: One of a few; ids are attributes.
            kind: Who asked whom.
            parent: Whose child it is, a sound ``traceparent``; None: a trace begins with it.
            ago_s: In seconds.
        """
        began_ns = time.time_ns() - int(ago_s * 1e9)
        span_kind = trace.SpanKind[kind.upper()]
        return Span(self._tracer.start_span(name, _context_of(parent), span_kind, start_time=began_ns))

    def close(self) -> None:
        """Export what has ended; where the collector is away, the process need not wait for it."""
        ending = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        ending.start()
        ending.join(_LAST_S)


def _context_of(parent: str | None) -> Context:
    if parent is None:
        return Context()
    _, trace_id, span_id, flags = parent.split("-")
    known = trace.SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(flags, 16) & _FLAGS),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(known), Context())


def exporting(endpoint: str, application: str) -> Tracer:
    """
    A tracer whose spans go to a collector, from a thread of their own: what it does not take in time is dropped.

    Args:
        endpoint: Of the collector, without the path of any signal.
        application: The service's name, unless OTEL_SERVICE_NAME says another.
    """
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: application}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    return Tracer(provider)
