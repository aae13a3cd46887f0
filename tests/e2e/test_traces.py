"""The real processes with a collector: each exports its own spans, all of one trace, and the last ones at its end."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.stage import Stage, wait_until

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

pytestmark = pytest.mark.xdist_group("fleets")


class Collector(ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP, as a context manager."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.spans = []  # path, service, span

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for one in asked.resource_spans:
            (service,) = [pair.value.string_value for pair in one.resource.attributes if pair.key == "service.name"]
            spans = [span for scope in one.scope_spans for span in scope.spans]
            self.server.spans += [(self.path, service, span) for span in spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.timeout(300)
def test_every_process_exports_its_part_of_the_trace_when_it_ends(tmp_path, monkeypatch):
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")  # nothing is exported before the end
        with Stage(tmp_path) as stage:
            stage.submit("traced", stage.new_number(), {"traceparent": THEIRS})
            (received,) = stage.callbacks("traced")
            recorded = "SELECT FROM callbacks WHERE state = 'done'"
            wait_until(lambda: stage.rows(recorded), what="the callback is recorded")
            before = list(collector.spans)

        parts = {(service, span.name) for _, service, span in collector.spans}
        assert before == []
        assert parts == {
            ("ringpost-web", "accept"),
            ("ringpost-worker", "dial"),
            ("ringpost-worker", "report"),
            ("ringpost-worker", "callback"),
        }
        assert {path for path, _, _ in collector.spans} == {"/v1/traces"}
        _, trace_id, parent_id, _ = THEIRS.split("-")
        assert {span.trace_id.hex() for _, _, span in collector.spans} == {trace_id}
        assert [span.parent_span_id.hex() for _, _, span in collector.spans if span.name == "accept"] == [parent_id]
        assert received.headers["traceparent"].split("-")[1] == trace_id
