"""Whose trace a request belongs to, and what a process traces with."""

import os
import sys
import threading
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs

from ingress.traces import accepting
from shared.spans import Tracer, exporting
from shared.tracing import parent_of, tracer_of
from workers.traces import calling_back, dialing


@pytest.fixture(autouse=True)
def _no_forks(monkeypatch):
    """The SDK starts threads in each fork, and the engines of other tests begin in forks without threads."""
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)


SOUND = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMED = SimpleNamespace(otel_exporter_otlp_endpoint="http://127.0.0.1:1/")


@pytest.mark.parametrize("flags", ["00", "01", "03", "ff"])
def test_a_sound_traceparent_is_taken_as_it_is(flags):
    assert parent_of(f"{SOUND[:-2]}{flags}") == f"{SOUND[:-2]}{flags}"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        SOUND.upper(),
        SOUND[:-1],
        f"{SOUND}0",
        f"{SOUND}-00",
        f"{SOUND}\n",
        f" {SOUND}",
        f"{SOUND},{SOUND}",
        SOUND.replace("00-", "ff-", 1),
        SOUND.replace("00-", "01-", 1),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        f"00-{'g' * 32}-00f067aa0ba902b7-01",
        f"00-{'٣' * 32}-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
    ],
)
def test_what_w3c_calls_malformed_is_as_none(header):
    assert parent_of(header) is None


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_a_span_goes_on_with_its_parents_trace_and_flags(flags):
    span = Tracer(TracerProvider(shutdown_on_exit=False)).begin("dial", "client", f"{SOUND[:-2]}{flags}")

    version, trace_id, span_id, kept = span.traceparent.split("-")
    assert (version, trace_id) == ("00", SOUND[3:35])
    assert span_id != SOUND[36:52]
    assert int(kept, 16) & 1 == int(flags, 16) & 1
    assert parent_of(span.traceparent) == span.traceparent


def test_without_a_collector_there_is_no_tracer():
    assert tracer_of(SimpleNamespace(otel_exporter_otlp_endpoint=None), "ringpost-web") is None


def test_a_collector_without_the_extra_is_told_in_a_sentence_and_nothing_is_traced(monkeypatch):
    monkeypatch.delitem(sys.modules, "shared.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with capture_logs() as logs:
        tracer = tracer_of(NAMED, "ringpost-web")

    (line,) = logs
    assert tracer is None
    assert (line["event"], line["log_level"]) == ("tracing_not_installed", "error")
    assert line["said"] == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but nothing is traced: install deploy/locked/traced.txt."
    )


def test_a_process_ends_in_time_though_the_collector_hangs(monkeypatch):
    monkeypatch.setattr("shared.spans._LAST_S", 0.1)
    tracer = exporting("http://127.0.0.1:1", "ringpost-web")
    shutdown = tracer._provider.shutdown
    monkeypatch.setattr(tracer._provider, "shutdown", lambda: threading.Event().wait(5))

    tracer.close()

    shutdown()


@pytest.mark.parametrize("environment", [{}, {"OTEL_SERVICE_NAME": "calls"}])
def test_a_service_has_its_processes_name_unless_another_is_set(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    tracer = exporting("http://127.0.0.1:1/", "ringpost-web")

    expected = environment.get("OTEL_SERVICE_NAME", "ringpost-web")
    assert tracer._provider.resource.attributes["service.name"] == expected
    tracer.close()


def test_a_disabled_sdk_names_no_trace(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    span = Tracer(TracerProvider(shutdown_on_exit=False)).begin("accept", "server", None)
    span.end({"ringpost.calls": 1})

    assert span.traceparent is None


def test_without_a_tracer_each_step_is_what_it_is_without_traces():
    step = object()

    assert accepting(None)(step) is step
    assert dialing(None, step, None) is step
    assert calling_back(None, step) is step
