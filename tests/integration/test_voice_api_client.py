"""The 8x8 client over real sockets: one callflow rings one phone at most."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from shared.errors import VoiceApiError
from shared.http import HttpEdge
from shared.voice_api.client import SpeechProfile, VoiceApi, Webhook
from shared.voice_api.codes import Disposition, Reason

BODY = b'{"callflow": []}'
CREATED = (200, {"sessionId": "s1", "sessionStatus": "CREATED", "statusCode": 1, "statusMessage": "Created"})
NOT_CREATED = (500, {"sessionStatus": "NOT_CREATED", "statusCode": 500, "statusMessage": "Internal error"})
CUT: None = None  # the connection is closed instead of an answer
Answer = tuple[int, object] | tuple[int, object, str] | None


class VoiceApiPeer:
    """8x8's side: gives the answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, bytes]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(1)
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, connection.makefile("rb") as stream, contextlib.suppress(ConnectionError):
                    self._answer(connection, stream)

    def _answer(self, connection: socket.socket, stream) -> None:
        """One request per connection."""
        method, target, _ = stream.readline().decode().split(" ")
        head = "".join(iter(lambda: stream.readline().decode(), "\r\n"))
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines())
        self.requests.append((f"{method} {target}", head, stream.read(int(fields.get("content-length", 0)))))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer is not None:
            status, body, *extra = answer
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines = [f"HTTP/1.1 {status} X", "Connection: close", f"Content-Length: {len(content)}", *extra]
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)


@pytest.fixture(scope="module")
def edge() -> Iterator[HttpEdge]:
    edge = HttpEdge()
    yield edge
    edge.close()


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def connect(edge, sleeps) -> Iterator[Callable[..., tuple[VoiceApi, VoiceApiPeer]]]:
    peers: list[VoiceApiPeer] = []

    def start(*answers: Answer, **options: object) -> tuple[VoiceApi, VoiceApiPeer]:
        peers.append(VoiceApiPeer(list(answers)))
        return an_api(edge, peers[-1].url, sleep=sleeps.append, **options), peers[-1]

    yield start
    for peer in peers:
        peer.close()


def an_api(edge: HttpEdge, url: str, **options: object) -> VoiceApi:
    defaults = {"subaccount_id": "acme&co", "api_key": "hush-hush", "total_timeout": 3.0}
    return VoiceApi(base_url=url, edge=edge, **{**defaults, **options})


def always() -> bool:
    return True


# --- Callflows ---


def test_a_callflow_is_one_authenticated_post_to_the_quoted_subaccount(connect, sleeps):
    api, peer = connect(CREATED)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, verdict.session_id) == (Disposition.CREATED, "s1")
    ((line, head, body),) = peer.requests
    assert (line, body) == ("POST /api/v1/subaccounts/acme%26co/callflows", BODY)
    assert "authorization: Bearer hush-hush\r\n" in head
    assert "content-type: application/json\r\n" in head
    assert sleeps == []


@pytest.mark.parametrize(
    ("answer", "disposition"),
    [
        (CUT, Disposition.UNKNOWN),
        ((502, b"<html>"), Disposition.UNKNOWN),
        ((200, b""), Disposition.UNKNOWN),
        ((408, b""), Disposition.UNKNOWN),
        ((400, {"sessionStatus": "NOT_CREATED", "statusCode": -1017}), Disposition.REFUSED),
        ((200, {"sessionStatus": "NOT CREATED", "statusCode": -1015}), Disposition.EXPIRED),
        ((422, {"sessionStatus": "NOT_CREATED", "statusCode": -1014}), Disposition.BLOCKED_SOURCE),
        ((401, b""), Disposition.BLOCKED_ACCOUNT),
        ((307, b"", "Location: /elsewhere"), Disposition.BLOCKED_ACCOUNT),
        ((429, b"", "Retry-After: 3"), Disposition.RETRY),
    ],
)
def test_what_may_have_rung_or_will_not_change_is_posted_once(connect, sleeps, answer, disposition):
    api, peer = connect(answer, CREATED)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, len(peer.requests), sleeps) == (disposition, 1, [])


def test_a_silent_8x8_is_unknown_and_not_asked_again(edge):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = an_api(edge, f"http://127.0.0.1:{listener.getsockname()[1]}", total_timeout=0.3)

        verdict = api.send_callflow(BODY, always)

        listener.settimeout(0)
        listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert (verdict.disposition, verdict.reason) == (Disposition.UNKNOWN, Reason.NO_REPLY)


def test_what_surely_created_nothing_is_posted_again(connect, sleeps):
    api, peer = connect(NOT_CREATED, (429, b"", "Retry-After: 0"), CREATED)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, len(peer.requests), len(sleeps)) == (Disposition.CREATED, 3, 2)


def test_three_tries_are_the_most(connect, sleeps):
    api, peer = connect(NOT_CREATED)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, len(peer.requests), len(sleeps)) == (Disposition.RETRY, 3, 2)
    assert all(0 <= wait <= 1 for wait in sleeps)


def test_a_short_retry_after_is_honoured(connect, sleeps):
    api, _ = connect((429, b"", "Retry-After: 2"), CREATED)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, sleeps) == (Disposition.CREATED, [2.0])


def test_no_try_begins_more_than_three_seconds_after_the_first(connect, sleeps, monkeypatch):
    api, peer = connect((429, b"", "Retry-After: 2"))
    clock = [0.0]
    monkeypatch.setattr("shared.voice_api.client.time.monotonic", lambda: clock[0])
    api = an_api(api.edge, peer.url, sleep=lambda wait_s: (sleeps.append(wait_s), clock.insert(0, clock[0] + wait_s)))

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, len(peer.requests), sleeps) == (Disposition.RETRY, 2, [2.0])


def test_an_ambiguous_second_answer_ends_the_tries(connect):
    api, peer = connect(NOT_CREATED, CUT, CREATED)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, len(peer.requests)) == (Disposition.UNKNOWN, 2)


def test_an_unreachable_8x8_is_tried_again_and_then_not_sent(edge, sleeps):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    api = an_api(edge, f"http://127.0.0.1:{port}", sleep=sleeps.append)

    verdict = api.send_callflow(BODY, always)

    assert (verdict.disposition, verdict.reason, verdict.status_message) == (
        Disposition.NOT_SENT,
        Reason.UNREACHABLE,
        "refused",
    )
    assert len(sleeps) == 2


def test_nothing_is_posted_once_the_lease_is_lost(connect, sleeps):
    api, peer = connect(CREATED)

    verdict = api.send_callflow(BODY, lambda: False)

    assert (verdict.disposition, verdict.reason) == (Disposition.NOT_SENT, Reason.LEASE_LOST)
    assert (peer.requests, sleeps) == ([], [])


def test_the_lease_is_asked_for_before_every_try(connect):
    api, peer = connect(NOT_CREATED, CREATED)
    leases = iter([True, False])

    verdict = api.send_callflow(BODY, lambda: next(leases))

    assert (verdict.disposition, verdict.reason) == (Disposition.NOT_SENT, Reason.LEASE_LOST)
    assert len(peer.requests) == 1


# --- Configuration calls ---


def test_voices_are_listed(connect):
    profile = {"speechProfileCode": "en-US-BenjaminRUS", "localeCode": "en-US", "gender": "M"}
    many = [profile] * 500
    api, peer = connect((200, {"speechProfiles": [*many, "odd"], "statusCode": 0, "statusMessage": "ok"}))

    voices = api.speech_profiles()

    assert voices == [SpeechProfile("en-US-BenjaminRUS", "en-US", "M")] * 500
    assert peer.requests[0][0] == "GET /api/v1/subaccounts/acme%26co/speech-profiles"


def test_voices_may_come_without_a_status_code(connect):
    api, _ = connect((200, {"speechProfiles": []}))

    assert api.speech_profiles() == []


@pytest.mark.parametrize(
    "body",
    [
        {"virtualNumbers": [{"number": "+65"}]},
        {"count": 1, "numbers": [{"number": "+65"}]},
        [{"number": "+65"}],
    ],
)
def test_numbers_are_listed_whatever_the_list_is_called(connect, body):
    api, _ = connect((200, body))

    assert api.numbers() == [{"number": "+65"}]


REGISTERED = {
    "count": 1,
    "webhooks": [{"type": "VSS", "url": "https://a.example/vss", "enabled": True, "httpAuthHeaderAvailable": True}],
    "statusCode": 0,
}


def test_webhooks_are_listed(connect):
    api, _ = connect((200, REGISTERED))

    assert api.webhooks() == [Webhook("VSS", "https://a.example/vss", is_enabled=True, has_auth_header=True)]


def test_a_webhook_is_registered_after_the_old_one_is_removed(connect):
    api, peer = connect((200, REGISTERED), (200, {"statusCode": 0}), (200, REGISTERED))

    api.register_webhook("VSS", "https://b.example/vss", "Bearer quiet")

    base = "/api/v1/subaccounts/acme%26co/webhooks"
    assert [line for line, _, _ in peer.requests] == [f"GET {base}", f"DELETE {base}/VSS", f"POST {base}"]
    assert json.loads(peer.requests[2][2]) == {
        "type": "VSS",
        "url": "https://b.example/vss",
        "httpAuthHeader": "Bearer quiet",
        "enabled": True,
    }


def test_a_webhook_of_a_new_type_replaces_none(connect):
    api, peer = connect((200, REGISTERED))

    api.register_webhook("VCA", "https://b.example/vca", "Bearer quiet")

    assert [line.split(" ")[0] for line, _, _ in peer.requests] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (422, {"statusCode": "1001", "statusMessage": "url is invalid"}),
            r"8x8 said: url is invalid \(HTTP 422\)",
        ),
        ((200, {"statusCode": 7, "statusMessage": "no"}), r"8x8 said: no \(HTTP 200\)"),
        ((404, {"code": 4018, "message": "Invalid jobId"}), r"8x8 said: Invalid jobId \(HTTP 404\)"),
        ((401, b""), r"no explanation \(HTTP 401\)"),
        ((200, b"<html>"), r"not JSON \(HTTP 200\)"),
        ((302, b""), r"HTTP 302"),
        (CUT, "8x8 did not answer: closed"),
    ],
)
def test_a_failed_configuration_call_says_what_8x8_said(connect, answer, message):
    api, peer = connect(answer)

    with pytest.raises(VoiceApiError, match=message):
        api.remove_webhook("VSS")

    assert len(peer.requests) == 1


# --- Secrets ---


def test_the_key_is_in_no_repr_and_no_error(connect):
    api, _ = connect(CUT)

    with pytest.raises(VoiceApiError) as caught:
        api.webhooks()

    assert "hush-hush" not in repr(api) + repr(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize("key", ["", " ", "hush\r\nX: y", "hush\x00", "hüsh"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_quoted(edge, key):
    with pytest.raises(ValueError, match="the API key must be printable ASCII") as caught:
        an_api(edge, "http://127.0.0.1:1", api_key=key)

    assert "sh" not in str(caught.value)
