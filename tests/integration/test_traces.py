"""One trace holds a message's life, from its provider's request to the callback, whatever comes in between."""

import json
import os
import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from deploy.demo.surroundings import environment_of
from deploy.receiver import Mode, ModeKind
from shared.spans import Tracer
from tests.integration.ingress_stage import basic
from tests.integration.whole_stage import SECRET, TOKEN, whole

THEIR_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
THEIRS = f"00-{THEIR_TRACE}-00f067aa0ba902b7-01"
NUMBER = "+6581234567"


class Spans:
    """What was exported."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(provider)

    @property
    def all(self):
        return sorted(self._exporter.get_finished_spans(), key=lambda span: (span.start_time, span.name))

    def named(self, name):
        return [span for span in self.all if span.name == name]

    @property
    def names(self):
        return [span.name for span in self.all]

    @property
    def traces(self):
        return {trace_id(span) for span in self.all}

    def are_children_of_accept(self):
        (accept,) = self.named("accept")
        return {span.parent.span_id for span in self.all if span is not accept} == {accept.context.span_id}


def trace_id(span):
    return f"{span.context.trace_id:032x}"


def traceparent_of(span):
    return f"00-{trace_id(span)}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


def told(span, *names):
    return tuple(span.attributes.get(f"ringpost.{name}") for name in names)


@pytest.fixture
def spans(monkeypatch):
    # The SDK starts threads in each fork, and the engines of other tests begin in forks without threads.
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    return Spans()


@pytest.fixture
def steps(settings, spans):
    with whole(settings, tracer=spans.tracer) as steps:
        yield steps


@pytest.mark.parametrize("hands_over", [True, False])
def test_one_trace_leads_from_the_request_to_the_callback(steps, spans, hands_over):
    id_ = steps.submit()
    steps.dial()
    steps.end(id_)
    steps.reconcile(hands_over=hands_over)
    steps.call_back()

    accept, dial, report, callback = (spans.named(name)[0] for name in ("accept", "dial", "report", "callback"))
    assert sorted(spans.names) == ["accept", "callback", "dial", "report"]
    assert len(spans.traces) == 1
    assert accept.parent is None
    assert spans.are_children_of_accept()
    assert [span.kind for span in (accept, dial, report, callback)] == [
        SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.CLIENT
    ]  # fmt: skip
    assert {told(span, "message_id") for span in spans.all} == {(id_,)}
    assert all(span.start_time <= span.end_time for span in spans.all)
    assert accept.start_time <= dial.start_time <= callback.start_time
    assert steps.stage.message(id_).traceparent == traceparent_of(accept)


def test_each_span_says_what_it_was_about(steps, spans):
    id_ = steps.submit()
    steps.dial()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()

    (attempt,), (callback,) = steps.stage.attempts(id_), steps.stage.callbacks(id_)
    accept, dial, report, post = (spans.named(name)[0] for name in ("accept", "dial", "report", "callback"))
    assert dict(accept.attributes) == {
        "http.request.method": "POST",
        "http.route": "/api/make-call",
        "http.response.status_code": 200,
        "ringpost.request_id": accept.attributes["ringpost.request_id"],
        "ringpost.provider_id": steps.customer.provider_id,
        "ringpost.calls": 1,
        "ringpost.accepted": 1,
        "ringpost.is_new": True,
        "ringpost.message_id": id_,
        "ringpost.status": "queued",
        "ringpost.lane": "otp",
        "ringpost.country": "SG",
        "ringpost.to": "+65****4567",
    }
    assert dict(dial.attributes) == {
        "ringpost.message_id": id_,
        "ringpost.attempt_id": attempt.attempt_id,
        "ringpost.attempt": 1,
        "ringpost.provider_id": steps.customer.provider_id,
        "ringpost.session_id": attempt.session_id,
        "ringpost.lane": "otp",
        "ringpost.country": "SG",
        "ringpost.disposition": "created",
        "ringpost.voice_api.code": attempt.status_code,
    }
    assert told(report, "webhook", "status", "result", "session_id", "attempt_id") == (
        "VSS", "delivered", "applied", attempt.session_id, attempt.attempt_id
    )  # fmt: skip
    assert told(post, "callback_id", "event_id", "attempt", "status", "to") == (
        callback.callback_id, callback.event_id, 1, "delivered", "+65****4567"
    )  # fmt: skip
    assert post.attributes["http.response.status_code"] == 200


def test_the_callback_tells_its_receiver_which_trace_it_belongs_to(steps, spans):
    id_ = steps.submit()
    steps.dial()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()

    (received,), (callback,) = steps.receiver.received, spans.named("callback")
    assert received.headers["traceparent"] == traceparent_of(callback)
    assert received.is_verified


def test_the_providers_own_trace_goes_on(steps, spans):
    id_ = steps.submit(headers={"traceparent": THEIRS})
    steps.dial()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()

    (accept,) = spans.named("accept")
    assert spans.traces == {THEIR_TRACE}
    assert f"{accept.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert steps.receiver.received[0].headers["traceparent"].startswith(f"00-{THEIR_TRACE}-")


@pytest.mark.parametrize(
    "header", ["nonsense", THEIRS.upper(), f"{THEIRS}-more", THEIRS.replace("00-", "01-", 1), f"{THEIRS},{THEIRS}"]
)
def test_a_malformed_traceparent_is_as_none(steps, spans, header):
    steps.submit(headers={"traceparent": header})

    (accept,) = spans.all
    assert accept.parent is None


def test_what_the_provider_does_not_sample_leaves_no_span_and_is_passed_on(steps, spans):
    id_ = steps.submit(headers={"traceparent": THEIRS[:-2] + "00"})
    steps.dial()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()

    header = steps.receiver.received[0].headers["traceparent"]
    assert spans.all == []
    assert (header[:36], header[-2:]) == (f"00-{THEIR_TRACE}-", "00")
    assert steps.stage.message(id_).status == "delivered"


def test_a_key_press_and_a_redial_are_spans_of_their_own(steps, spans):
    id_ = steps.submit(redial={"maxAttempts": 2}, interruptible=True)
    steps.dial()
    steps.end(id_, "BUSY")
    steps.reconcile()
    steps.dial()
    steps.press(id_)
    steps.reconcile()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()

    assert [told(span, "attempt") for span in spans.named("dial")] == [(1,), (2,)]
    assert [told(span, "webhook", "status") for span in spans.named("report")] == [
        ("VSS", "queued"), ("VCA", "answered"), ("VSS", "delivered")
    ]  # fmt: skip
    assert len({told(span, "attempt_id", "session_id") for span in spans.named("dial")}) == 2
    assert (len(spans.traces), len(spans.named("callback"))) == (1, 1)
    assert spans.are_children_of_accept()


def test_a_doubt_that_stays_and_is_corrected_belongs_to_the_same_trace(steps, spans):
    steps.stage.simulator.set_fault("reply_never", destination=NUMBER)
    id_ = steps.submit()
    steps.dial()
    steps.stage.execute("UPDATE messages SET due_at = now() - interval '1 s'")
    steps.stage.sweep()
    steps.call_back()
    undetermined = steps.stage.state(id_)
    steps.end(id_, echo=True, session_id="session-late")
    steps.reconcile()
    steps.call_back()

    (dial,) = spans.named("dial")
    assert undetermined == ("undetermined", "never_confirmed")
    assert told(dial, "disposition", "reason", "session_id") == ("unknown", "no_reply", None)
    assert (dial.status.status_code, dial.attributes["error.type"]) == (StatusCode.ERROR, "no_reply")
    assert [told(span, "status") for span in spans.named("callback")] == [("undetermined",), ("delivered",)]
    assert told(spans.named("report")[0], "session_id") == ("session-late",)
    assert len(spans.traces) == 1
    assert spans.are_children_of_accept()


def test_a_batch_is_one_trace_with_a_dial_for_each_message(steps, spans):
    calls = [{"messageId": f"m{n}", "customerPhone": f"+658123456{n}", "message": "Your code is 7."} for n in range(3)]
    calls[1]["customerPhone"] = "nobody"

    steps.http.post("/api/make-calls", json={"calls": calls}, headers=steps.customer.headers)
    steps.dial()

    (accept,) = spans.named("accept")
    rows = steps.stage.execute("SELECT id, traceparent FROM messages")
    assert told(accept, "calls", "accepted", "message_id") == (3, 2, None)
    assert {told(span, "message_id") for span in spans.named("dial")} == {(row.id,) for row in rows}
    assert {row.traceparent for row in rows} == {traceparent_of(accept)}
    assert (len(rows), len(spans.traces)) == (2, 1)
    assert spans.are_children_of_accept()


def test_a_callback_that_fails_is_told_with_its_tries(steps, spans):
    steps.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500, times=1))
    id_ = steps.submit()
    steps.dial()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()
    steps.call_back()

    failed, done = spans.named("callback")
    assert (told(failed, "attempt", "callback_state"), failed.attributes["error.type"]) == ((1, "due"), "http_500")
    assert (told(done, "attempt", "callback_state"), done.status.status_code) == ((2, "done"), StatusCode.UNSET)
    assert told(failed, "event_id") == told(done, "event_id")


def test_a_refusal_is_told_by_its_code_and_only_our_own_fault_is_an_error(steps, spans, monkeypatch):
    refused = steps.http.post("/api/make-call", json={"messageId": "m"}, headers=steps.customer.headers)
    monkeypatch.setattr("ingress.submissions._stored", lambda *_: 1 / 0)
    failed = steps.http.post(
        "/v1/messages", json={"messageId": "n", "customerPhone": NUMBER, "message": "7"}, headers=steps.customer.headers
    )

    first, second = spans.named("accept")
    assert (refused.status_code, told(first, "refused", "accepted")) == (422, ("invalid_request", 0))
    assert (first.attributes["http.response.status_code"], first.status.status_code) == (422, StatusCode.UNSET)
    assert (failed.status_code, second.attributes["error.type"]) == (500, "ZeroDivisionError")
    assert second.status.status_code is StatusCode.ERROR


def test_whoever_is_not_known_leaves_no_span(steps, spans):
    reply = steps.http.post("/api/make-call", json={}, headers={"traceparent": THEIRS})

    assert (reply.status_code, spans.all) == (401, [])


def test_the_same_request_again_has_a_span_and_changes_no_trace(steps, spans):
    body = {"messageId": "again", "customerPhone": NUMBER, "message": "Your code is 7."}
    for _ in range(2):
        steps.http.post("/api/make-call", json=body, headers=steps.customer.headers)

    first, second = spans.named("accept")
    (row,) = steps.stage.execute("SELECT traceparent FROM messages")
    assert [told(span, "is_new") for span in (first, second)] == [(True,), (False,)]
    assert row.traceparent.split("-")[1] == trace_id(first) != trace_id(second)


def test_a_test_message_is_traced_as_a_live_one(steps, spans):
    key = steps.http.post("/v1/keys", json={"mode": "test"}, headers=steps.customer.headers).get_json()
    id_ = steps.submit(headers=basic(key["id"], key["secret"]))
    steps.pretend()

    (dial,) = spans.named("dial")
    assert told(dial, "message_id", "lane", "attempt") == (id_, "test", 1)
    assert spans.are_children_of_accept()


def test_no_span_holds_a_number_a_text_or_a_secret(steps, spans):
    id_ = steps.submit(message="Your secret word is {code}.", code="48291", interruptible=True, metadata={"a": "meta7"})
    steps.dial()
    steps.press(id_, key="73")
    steps.reconcile()
    steps.end(id_)
    steps.reconcile()
    steps.call_back()
    steps.stage.simulator.set_fault("refused", destination=NUMBER, code=-1002)
    steps.submit()
    steps.dial()

    shown = "\n".join(json.dumps(json.loads(span.to_json())) for span in spans.all)
    secrets = [SECRET, TOKEN, "test-api-key", steps.customer.headers["Authorization"].split()[1], steps.receiver.url]
    texts = ["81234567", "31580001", "secret word", "48291", "4, 8, 2", '"73"', "meta7", "messageId"]
    assert len(spans.all) == 7
    assert [needle for needle in secrets + texts if needle in shown] == []


def test_without_tracing_a_row_keeps_nothing_and_a_callback_has_no_header(settings):
    with whole(settings) as steps:
        id_ = steps.submit(headers={"traceparent": THEIRS})
        steps.dial()
        steps.end(id_)
        steps.reconcile()
        steps.call_back()

        assert steps.stage.message(id_).traceparent is None
        assert "traceparent" not in steps.receiver.received[0].headers


#: Every process's wiring, where OpenTelemetry is not installed; who asks for it all the same is printed.
_WIRED = """
import sys

class Absent:
    askers = set()

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "opentelemetry":
            return None
        frame = sys._getframe(1)
        while frame.f_globals["__name__"].startswith("importlib"):
            frame = frame.f_back
        self.askers.add(frame.f_globals["__name__"].partition(".")[0])
        raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Absent())

import deploy.cli, ingress.server, workers.main, workers.sweep
from ingress.app import create_app
from ingress.site import build_site
from shared.services import build_services
from shared.settings import Settings
from workers.actors import declare_actors

services = build_services(Settings.load(), application="tests")
create_app(build_site(services))
declare_actors(services)
print(sorted(Absent.askers - {"redis"}), services.tracer, "shared.spans" in sys.modules)
"""


def test_without_tracing_no_process_needs_or_imports_opentelemetry(settings):
    done = subprocess.run(
        [sys.executable, "-c", _WIRED], env=environment_of(settings), capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("[] None False\n", "")
